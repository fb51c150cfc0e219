import { beforeAll, expect, test, vi } from 'vitest';
import { isSettled, STATUSES } from '../../src/core/delivery/delivery.ts';
import { FOLLOW_UP_KINDS } from '../../src/core/delivery/follow-up.ts';
import { applyInbound } from '../../src/core/inbound/apply.ts';
import { createNotices } from '../../src/core/webhooks/notices.ts';
import { createEventPresenter } from '../../src/http/presenters/event-presenter.ts';
import { MAIL } from '../helpers/app.ts';
import { aDelivery, anAttempt } from '../helpers/delivery.ts';
import { type Heard, startEndpoint } from '../helpers/endpoint.ts';
import { aBounce } from '../helpers/inbound.ts';
import { createValidator } from '../helpers/openapi-contract.ts';
import { type Operation, readServedDocument } from '../helpers/openapi-document.ts';
import { APP_PASSWORD } from '../helpers/service.ts';
import { startWithGmail } from '../helpers/smtp/gmail.ts';

const { document, webhooks } = await readServedDocument();
const validate = createValidator(document.components);
const schemas = document.components.schemas;
const types: string[] = [
  ...schemas.MessageEvent.properties.type.enum,
  ...schemas.AccountEvent.properties.type.enum,
];

/** A call of each type that the document lists, made by services in different situations. */
const received = new Map<string, Heard>();

beforeAll(async () => {
  await using endpoint = await startEndpoint();
  const env = {
    WEBHOOK_URL: `http://127.0.0.1:${endpoint.port}/`,
    WEBHOOK_SECRET: `whsec_${Buffer.alloc(32, 'key').toString('base64')}`,
    WEBHOOK_ALLOWED_HOSTS: '127.0.0.1',
    ON_UNCERTAIN: 'hold',
  };
  await using app = await startWithGmail({ env });
  const { service, gmail } = app;
  const heard = (type: string) => endpoint.heard.find(({ body }) => JSON.parse(body).type === type);
  const waitFor = (type: string) => vi.waitFor(() => expect(heard(type)).toBeDefined(), { timeout: 10_000 });

  gmail.setPassword('another-password');
  await service.send(MAIL);
  await waitFor('account.paused');
  gmail.setPassword(APP_PASSWORD);
  await waitFor('account.resumed');

  await service.send({ ...MAIL, tags: { flow: 'welcome' }, metadata: { crm_id: '42' } });
  await service.send({ ...MAIL, to: [MAIL.to, 'no-such-user+some@simulator.test'] });
  await service.send({ ...MAIL, to: 'no-such-user@simulator.test' });
  await service.send({ ...MAIL, to: 'drop-after-dot@simulator.test' });
  const expires_at = new Date(Date.now() + 500).toISOString();
  await service.send({ ...MAIL, to: 'greylisted+late@simulator.test', expires_at });
  const { id } = (await service.send({ ...MAIL, to: 'greylisted@simulator.test' })).body;
  await vi.waitFor(async () => expect((await service.get(id)).status).toBe('deferred'), { timeout: 10_000 });
  await service.request(`/messages/${id}/cancel`, { method: 'POST' });
  for (const type of types.filter((one) => one.startsWith('message.'))) await waitFor(type);

  for (const type of types) {
    const call = heard(type);
    if (call) received.set(type, call);
  }
}, 30_000);

test.each(types)('the body and the headers of %s are as documented', (type) => {
  const { body = '', headers = {} } = received.get(type) ?? {};
  const kind = type.startsWith('message.') ? 'message' : 'account';
  const operation = webhooks.find(({ path }) => path === kind) as Operation;
  const schema = operation.requestBody?.content['application/json'].schema;
  if (!schema) throw new Error(`The webhook ${kind} has no body`);
  validate(schema, JSON.parse(body));
  for (const {
    name,
    schema: { type: headerType },
  } of operation.parameters ?? [])
    expect(headers[name]).toMatch(headerType === 'integer' ? /^\d+$/ : /./);
});

test.each(FOLLOW_UP_KINDS)('the body of message.%s is as documented', (kind) => {
  const sent = aDelivery({ status: 'sent', attempts: [anAttempt()] });
  const { delivery, followUp } = applyInbound(sent, aBounce({ kind })) ?? {};
  if (!delivery) throw new Error('the mail changes nothing');
  const [notice] = createNotices({
    endpointsFor: () => [{ url: 'https://a.test' }],
    accountEndpoints: () => [],
    isGone: () => false,
    presenter: createEventPresenter('memory'),
    now: Date.now,
  }).ofMessage(delivery, followUp);
  const body = JSON.parse(notice?.body ?? '');
  expect(body).toMatchObject({ type: `message.${kind}`, sequence: delivery.revision, follow_up: { kind } });
  const schema = webhooks.find(({ path }) => path === 'followUp')?.requestBody?.content['application/json']
    .schema;
  if (!schema) throw new Error('The webhook has no body');
  validate(schema, body);
  expect(schemas.FollowUpEvent.properties.type.enum).toContain(body.type);
});

test('every status that a message is settled or deferred with has an event type', () => {
  const statuses = STATUSES.filter((status) => isSettled(status) || status === 'deferred');
  expect([...schemas.MessageEvent.properties.type.enum].sort()).toEqual(
    statuses.map((status) => `message.${status}`).sort(),
  );
});
