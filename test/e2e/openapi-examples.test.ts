import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { MAIL } from '../helpers/app.ts';
import { type Endpoint, startEndpoint } from '../helpers/endpoint.ts';
import { TOMORROW } from '../helpers/openapi-client.ts';
import { type Operation, readServedDocument } from '../helpers/openapi-document.ts';
import { ADMIN_KEY } from '../helpers/service.ts';
import { startWithGmail, type WithGmail } from '../helpers/smtp/gmail.ts';

const { operations } = await readServedDocument();

const DELIVERIES = z.object({ deliveries: z.tuple([z.object({ id: z.string() })], z.unknown()) });

/** The examples of a body by name; one without a body if the operation has none. */
function bodiesOf({ requestBody }: Operation): [string, unknown][] {
  if (!requestBody) return [['no body', undefined]];
  const { examples = {} } = requestBody.content['application/json'];
  return Object.entries(examples).map(([name, { value }]) => [name, value]);
}

describe('the form of each operation in /docs', () => {
  let started: WithGmail;
  let endpoint: Endpoint;
  /** Makes addresses unique, since a refused address is suppressed afterwards. */
  let refused = 0;
  beforeAll(async () => {
    const TEMPLATES_DIR = fileURLToPath(new URL('../../examples/templates', import.meta.url));
    // Its calls fail, so that there are some to replay.
    endpoint = await startEndpoint({ answer: (response) => response.writeHead(500).end() });
    const webhooks = {
      WEBHOOK_URL: `http://127.0.0.1:${endpoint.port}/`,
      WEBHOOK_SECRET: `whsec_${Buffer.alloc(32).toString('base64')}`,
      WEBHOOK_ALLOWED_HOSTS: '127.0.0.1',
    };
    // An uncertain message is not found in Sent Mail, since it is filed much later.
    const reconciling = { ON_UNCERTAIN: 'hold', RECONCILE_FOR: '1s' };
    started = await startWithGmail({ imap: true, env: { TEMPLATES_DIR, ...webhooks, ...reconciling } });
    started.gmail.imap.configure({ filingDelayMs: 3_600_000 });
  });
  afterAll(async () => {
    await started[Symbol.asyncDispose]();
    await endpoint[Symbol.asyncDispose]();
  });

  /** A path parameter without an example, which users copy from an earlier response. */
  async function fromEarlierResponse(operationId: string, name: string): Promise<string> {
    const { service } = started;
    if (name === 'user') return 'bot@simulator.test';
    if (name === 'email') {
      await service.request('/suppressions/left@example.com', { method: 'PUT' });
      return 'left@example.com';
    }
    if (operationId === 'replayWebhookDelivery') {
      await service.send(MAIL, { wait: 15 });
      const headers = { authorization: `Bearer ${ADMIN_KEY}` };
      return vi.waitFor(async () => {
        const { body } = await service.request('/webhooks/deliveries', { headers });
        return DELIVERIES.parse(body).deliveries[0].id;
      });
    }
    if (operationId === 'previewTemplate') return 'invoice';
    if (operationId === 'retryMessage' || operationId === 'reconcileMessage') {
      const name = operationId === 'retryMessage' ? `no-such-user+${refused++}` : 'drop-after-dot';
      const { body } = await service.send({ ...MAIL, to: `${name}@simulator.test` }, { wait: 15 });
      return body.message?.id ?? '';
    }
    return (await service.send({ ...MAIL, scheduled_at: TOMORROW })).body.id;
  }

  /**
   * Sends what Swagger UI sends: the examples, and nothing for an optional parameter without one.
   */
  async function execute(
    { operationId, method, path, parameters = [] }: Operation,
    example: unknown,
  ): Promise<Response> {
    const headers = new Headers({ authorization: `Bearer ${ADMIN_KEY}` });
    const query = new URLSearchParams();
    let filled = path;
    for (const { name, in: where, example, schema } of parameters) {
      const value = example ?? schema.examples?.[0];
      if (where === 'path') {
        filled = filled.replace(
          `{${name}}`,
          encodeURIComponent(value ?? (await fromEarlierResponse(operationId, name))),
        );
      } else if (value !== undefined) {
        if (where === 'header') headers.set(name, value);
        else query.set(name, value);
      }
    }
    const body = example === undefined ? undefined : JSON.stringify(example);
    if (body !== undefined) headers.set('content-type', 'application/json');
    return fetch(`${started.service.url}${filled}?${query}`, {
      method,
      headers,
      ...(body !== undefined && { body }),
    });
  }

  test.each(
    operations
      // Their tickets are part of URLs that other operations return.
      .filter(({ operationId }) => !['viewMessageContent', 'viewTemplatePreview'].includes(operationId))
      .flatMap((operation) =>
        bodiesOf(operation).map(([name, body]) => ({ operation, id: operation.operationId, name, body })),
      ),
  )('is accepted as it is, more than once: $id, $name', async ({ operation, id, body }) => {
    // An account can be verified once a minute.
    const times = id === 'verifyAccount' ? 1 : 2;
    for (let i = 0; i < times; i++) {
      const response = await execute(operation, body);
      expect([response.status, await response.text()]).toEqual([
        expect.toBeOneOf([200, 202, 204]),
        expect.anything(),
      ]);
    }
  });

  test('has an example of every body, and of no header', () => {
    const withBody = operations.filter(({ requestBody }) => requestBody);
    expect(withBody.length).toBeGreaterThan(0);
    for (const operation of withBody) {
      expect(bodiesOf(operation).length).toBeGreaterThan(0);
      for (const [, body] of bodiesOf(operation)) expect(body).toBeDefined();
    }
    const parameters = operations.flatMap(({ parameters = [] }) => parameters);
    expect(
      parameters.filter(
        ({ in: where, example, schema }) => where === 'header' && (example ?? schema.examples),
      ),
    ).toEqual([]);
  });
});

test('the example of previewTemplate has the variables of every template in examples/', async () => {
  const TEMPLATES_DIR = fileURLToPath(new URL('../../examples/templates', import.meta.url));
  await using app = await startWithGmail({ env: { TEMPLATES_DIR } });
  const preview = operations.find(({ operationId }) => operationId === 'previewTemplate');
  const [[, example] = []] = preview ? bodiesOf(preview) : [];
  const body = JSON.stringify(example);
  for (const id of ['invoice', 'welcome']) {
    const headers = { 'content-type': 'application/json' };
    expect(
      (await app.service.request(`/templates/${id}/preview`, { method: 'POST', headers, body })).status,
    ).toBe(200);
  }
});
