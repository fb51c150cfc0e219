import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { openApiDocument } from '../../src/http/app.ts';
import { MAIL } from '../helpers/app.ts';
import { TOMORROW } from '../helpers/openapi-stage.ts';
import { API_KEY } from '../helpers/service.ts';
import { startWithGmail, type WithGmail } from '../helpers/smtp/gmail.ts';

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly example?: string;
  readonly schema: { readonly examples?: readonly string[] };
}

interface Operation {
  readonly operationId: string;
  readonly method: string;
  readonly path: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: {
    readonly content: { readonly 'application/json': { readonly example?: unknown } };
  };
}

const document = parse(await openApiDocument('0.0.0-test'));
const operations = Object.entries<Record<string, Omit<Operation, 'method' | 'path'>>>(document.paths).flatMap(
  ([path, methods]) =>
    Object.entries(methods).map(
      ([method, operation]): Operation => ({ ...operation, path, method: method.toUpperCase() }),
    ),
);

describe('the form of each operation in /docs', () => {
  let started: WithGmail;
  /** Each refused address is suppressed from then on. */
  let refused = 0;
  beforeAll(async () => {
    const TEMPLATES_DIR = fileURLToPath(new URL('../../examples/templates', import.meta.url));
    started = await startWithGmail({ env: { TEMPLATES_DIR } });
  });
  afterAll(() => started[Symbol.asyncDispose]());

  /** What a user takes from an earlier answer: the form has no example of it. */
  async function fromEarlierAnswer(operationId: string, name: string): Promise<string> {
    const { service } = started;
    if (name === 'user') return 'bot@simulator.test';
    if (name === 'email') {
      await service.request('/suppressions/left@example.com', { method: 'PUT' });
      return 'left@example.com';
    }
    if (operationId === 'previewTemplate') return 'invoice';
    if (operationId === 'retryMessage') {
      const { body } = await service.send(
        { ...MAIL, to: `no-such-user+${refused++}@simulator.test` },
        { wait: 15 },
      );
      return body.message?.id ?? '';
    }
    return (await service.send({ ...MAIL, scheduled_at: TOMORROW })).body.id;
  }

  /** Sends what Swagger UI would: the examples, and nothing for a parameter without one. */
  async function execute({
    operationId,
    method,
    path,
    parameters = [],
    requestBody,
  }: Operation): Promise<Response> {
    const headers = new Headers({ authorization: `Bearer ${API_KEY}` });
    const query = new URLSearchParams();
    let filled = path;
    for (const { name, in: where, example, schema } of parameters) {
      const value = example ?? schema.examples?.[0];
      if (where === 'path') {
        filled = filled.replace(
          `{${name}}`,
          encodeURIComponent(value ?? (await fromEarlierAnswer(operationId, name))),
        );
      } else if (value !== undefined) {
        if (where === 'header') headers.set(name, value);
        else query.set(name, value);
      }
    }
    const body = requestBody && JSON.stringify(requestBody.content['application/json'].example);
    if (body !== undefined) headers.set('content-type', 'application/json');
    return fetch(`${started.service.url}${filled}?${query}`, {
      method,
      headers,
      ...(body !== undefined && { body }),
    });
  }

  test.each(operations.map((operation) => [operation.operationId, operation] as const))(
    'is accepted as it is, more than once: %s',
    async (operationId, operation) => {
      // An account may be tried once a minute.
      const times = operationId === 'verifyAccount' ? 1 : 2;
      for (let i = 0; i < times; i++) {
        const response = await execute(operation);
        expect([response.status, await response.text()]).toEqual([
          expect.toBeOneOf([200, 202, 204]),
          expect.anything(),
        ]);
      }
    },
  );

  test('has an example of every body, and of no header', () => {
    const bodies = operations.flatMap(({ requestBody }) =>
      requestBody ? [requestBody.content['application/json'].example] : [],
    );
    expect(bodies.length).toBeGreaterThan(0);
    for (const body of bodies) expect(body).toBeDefined();
    const parameters = operations.flatMap(({ parameters = [] }) => parameters);
    expect(
      parameters.filter(
        ({ in: where, example, schema }) => where === 'header' && (example ?? schema.examples),
      ),
    ).toEqual([]);
  });
});

test('the example of a template fills in every template in examples/', async () => {
  const TEMPLATES_DIR = fileURLToPath(new URL('../../examples/templates', import.meta.url));
  await using app = await startWithGmail({ env: { TEMPLATES_DIR } });
  const preview = operations.find(({ operationId }) => operationId === 'previewTemplate');
  const body = JSON.stringify(preview?.requestBody?.content['application/json'].example);
  for (const id of ['invoice', 'welcome']) {
    const headers = { 'content-type': 'application/json' };
    expect(
      (await app.service.request(`/templates/${id}/preview`, { method: 'POST', headers, body })).status,
    ).toBe(200);
  }
});
