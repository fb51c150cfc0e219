import { describe, expect, test } from 'vitest';
import {
  createOuttrayClient,
  type ErrorCode,
  type Message,
  type SendRequest,
} from '../../src/client/client.ts';
import { isSettled, STATUSES } from '../../src/core/delivery/delivery.ts';
import { API_KEY, startService } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const HELLO: SendRequest = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };

test('the typed client sends a message and reads its outcome', async () => {
  await using gmail = await startSimulator();
  await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
  const outtray = createOuttrayClient({ baseUrl: service.url, apiKey: API_KEY });

  const sent = await outtray.POST('/send', { params: { header: { Prefer: 'wait=10' } }, body: HELLO });
  expect(sent.error).toBeUndefined();
  const { id } = sent.data as Message;
  const { data } = await outtray.GET('/messages/{id}', { params: { path: { id } } });
  expect(data).toMatchObject({
    id,
    status: 'sent',
    recipients: [{ email: 'ada@example.com', status: 'accepted' }],
  });
});

test('the typed client returns a refusal as a problem without throwing', async () => {
  await using gmail = await startSimulator();
  await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
  const outtray = createOuttrayClient({ baseUrl: service.url, apiKey: 'not-a-secret-of-this-service' });

  const { data, error, response } = await outtray.POST('/send', { body: HELLO });
  const code: ErrorCode | undefined = error?.code;
  expect({ data, code, status: response.status }).toEqual({
    data: undefined,
    code: 'invalid_api_key',
    status: 401,
  });
});

test('the typed client uses a given fetch and passes it the key', async () => {
  const seen: Request[] = [];
  const outtray = createOuttrayClient({
    baseUrl: 'http://outtray.test',
    apiKey: API_KEY,
    async fetch(request) {
      seen.push(request);
      return Response.json({ status: 'ready' });
    },
  });
  expect((await outtray.GET('/readyz')).data).toEqual({ status: 'ready' });
  expect(seen.map(({ url, headers }) => [url, headers.get('authorization')])).toEqual([
    ['http://outtray.test/readyz', `Bearer ${API_KEY}`],
  ]);
});

describe('send()', () => {
  test('sends a message once, however often it is called with its idempotency key', async () => {
    await using gmail = await startSimulator();
    await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
    const outtray = createOuttrayClient({ baseUrl: service.url, apiKey: API_KEY });

    const first = await outtray.send(HELLO, { idempotencyKey: 'invoice-42', wait: 10 });
    expect(first).toMatchObject({ data: { status: 'sent', subject: 'Hello' }, response: { status: 200 } });
    const second = await outtray.send(HELLO, { idempotencyKey: 'invoice-42' });
    expect(second.data?.id).toBe(first.data?.id);
    expect(gmail.messages).toHaveLength(1);
  });

  test('returns a refusal as a problem', async () => {
    await using gmail = await startSimulator();
    await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
    const outtray = createOuttrayClient({ baseUrl: service.url, apiKey: API_KEY });
    const { data, error, response } = await outtray.send({ ...HELLO, to: 'nobody' });
    expect([data, error?.code, response.status]).toEqual([undefined, 'validation_failed', 422]);
  });

  test('throws for a dry run, which has no id', async () => {
    const outtray = createOuttrayClient({ baseUrl: 'http://outtray.test', apiKey: API_KEY });
    await expect(outtray.send({ ...HELLO, dry_run: true } as SendRequest)).rejects.toThrow(
      "use POST('/send') for a dry run",
    );
  });
});

describe('wait()', () => {
  test('returns a scheduled message once it is sent', async () => {
    await using gmail = await startSimulator();
    await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
    const outtray = createOuttrayClient({ baseUrl: service.url, apiKey: API_KEY });
    const scheduled_at = new Date(Date.now() + 1500).toISOString();
    const { data } = await outtray.send({ ...HELLO, scheduled_at });
    expect(data?.status).toBe('scheduled');
    expect((await outtray.wait(data?.id ?? '')).data).toMatchObject({ id: data?.id, status: 'sent' });
  });

  test('returns the problem of a message that does not exist', async () => {
    await using gmail = await startSimulator();
    await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
    const outtray = createOuttrayClient({ baseUrl: service.url, apiKey: API_KEY });
    expect((await outtray.wait('msg_unknown')).error?.code).toBe('message_not_found');
  });

  test('rejects when its signal aborts', async () => {
    await using gmail = await startSimulator();
    await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
    const outtray = createOuttrayClient({ baseUrl: service.url, apiKey: API_KEY });
    const { data } = await outtray.send({
      ...HELLO,
      scheduled_at: new Date(Date.now() + 3600_000).toISOString(),
    });
    const waiting = outtray.wait(data?.id ?? '', { signal: AbortSignal.timeout(300) });
    await expect(waiting).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  test.concurrent.each(STATUSES)('returns only what is final: %s', async (status) => {
    const { outtray, requests } = respondingWith({ status }, { status: 'sent' });
    const { data } = await outtray.wait('msg_1');
    const isFinal = isSettled(status);
    expect([data?.status, requests()]).toEqual(isFinal ? [status, 1] : ['sent', 2]);
  });

  test.concurrent.each([429, 502, 503, 504])('asks again after the status %i', async (httpStatus) => {
    const { outtray, requests } = respondingWith(httpStatus, { status: 'failed' });
    expect((await outtray.wait('msg_1')).data?.status).toBe('failed');
    expect(requests()).toBe(2);
  });
});

/** A client whose requests get these responses: messages, or the HTTP status of a failure. */
function respondingWith(...responses: ({ readonly status: Message['status'] } | number)[]) {
  let count = 0;
  const outtray = createOuttrayClient({
    baseUrl: 'http://outtray.test',
    apiKey: API_KEY,
    async fetch() {
      const next = responses[count++] ?? 500;
      return typeof next === 'number'
        ? Response.json({ code: 'problem' }, { status: next })
        : Response.json(next);
    },
  });
  return { outtray, requests: () => count };
}
