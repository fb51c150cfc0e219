import { connect } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createMemoryIdempotency } from '../../src/adapters/memory/idempotency.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import type { ApiKey } from '../../src/core/auth/caller.ts';
import { ANY_DELIVERY } from '../../src/core/delivery/delivery-query.ts';
import { AppError } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import { createIntake } from '../../src/core/intake/intake.ts';
import { createSuppressions } from '../../src/core/suppressions.ts';
import { type AppUnderTest, CRM, CRM_SECRET, createLedger, MAIL, SHOP, startApp } from '../helpers/app.ts';
import { aBackend, NO_TEMPLATES } from '../helpers/core.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aKey } from '../helpers/keys.ts';

const KEY = { 'idempotency-key': '6f1c9e0a-7d3b-4c51-9f57-0c2a8b1f4e11' };
const later = (ms: number) => new Date(Date.now() + ms).toISOString();

describe('Idempotency-Key', () => {
  test('repeats the response of the first request unchanged, and sends nothing', async () => {
    await using app = await startApp();
    const first = await app.send(MAIL, KEY);
    const second = await app.send(MAIL, KEY);
    expect(first.headers).not.toHaveProperty('idempotency-replayed');
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect([second.statusCode, second.body, second.headers.location, second.headers['content-type']]).toEqual(
      [first.statusCode, first.body, first.headers.location, first.headers['content-type']],
    );
    expect(second.headers['x-request-id']).not.toBe(first.headers['x-request-id']);
    expect(app.accepted).toHaveLength(1);
  });

  test('is not involved in requests without the header', async () => {
    const unused = () => Promise.reject(new Error('not expected'));
    const idempotency = { claim: unused, accept: unused, release: unused, markUnknown: unused };
    await using app = await startApp({ idempotency });
    expect((await app.send(MAIL)).statusCode).toBe(202);
    expect((await app.send({ ...MAIL, dry_run: true }, KEY)).statusCode).toBe(200);
  });

  test('ignores the order of keys and equivalent notations', async () => {
    await using app = await startApp();
    await app.send({ ...MAIL, tags: { a: '1', b: '2' } }, KEY);
    const { to, subject, text } = MAIL;
    const response = await app.send(
      { tags: { b: '2', a: '1' }, text, subject, to: [{ email: to }], cc: [] },
      KEY,
    );
    expect(response.headers['idempotency-replayed']).toBe('true');
  });

  test.each([
    ['subject', { subject: 'Another' }],
    ['recipient', { to: 'bob@example.com' }],
    ['attachment', { attachments: [{ filename: 'a.txt', content: 'YQ==' }] }],
    ['tag', { tags: { a: '1' } }],
  ])('refuses the key with another %s', async (_, change) => {
    await using app = await startApp();
    await app.send(MAIL, KEY);
    const response = await app.send({ ...MAIL, ...change }, KEY);
    expect([response.statusCode, response.json().code]).toEqual([422, 'idempotency_key_reused']);
    expect(app.accepted).toHaveLength(1);
  });

  test('compares the content of attachments', async () => {
    await using app = await startApp();
    const withFile = (content: string) => ({ ...MAIL, attachments: [{ filename: 'a.txt', content }] });
    await app.send(withFile('YQ=='), KEY);
    expect((await app.send(withFile('YQ=='), KEY)).headers['idempotency-replayed']).toBe('true');
    expect((await app.send(withFile('Yg=='), KEY)).json().code).toBe('idempotency_key_reused');
  });

  test('responds 409 until the first request is accepted', async () => {
    const begun = Promise.withResolvers<void>();
    const hang = () => {
      begun.resolve();
      return new Promise<never>(() => {});
    };
    await using app = await startApp({ intake: { accept: hang, check: hang, preview: hang } });
    void app.send(MAIL, KEY);
    await begun.promise;
    const second = await app.send(MAIL, KEY);
    expect([second.statusCode, second.json().code, second.headers['retry-after']]).toEqual([
      409,
      'idempotency_in_progress',
      '1',
    ]);
  });

  test('returns the current state while the first request waits, and its response once it has one', async () => {
    await using app = await startApp();
    const first = app.send(MAIL, { ...KEY, prefer: 'wait=10' });
    const id = await vi.waitUntil(() => [...app.waiting][0]);
    app.keep({ ...(app.accepted[0]?.delivery ?? aDelivery()), status: 'sending' });
    const second = await app.send(MAIL, KEY);
    expect([second.statusCode, second.json()]).toMatchObject([202, { id, status: 'sending' }]);
    expect(second.headers).toMatchObject({ 'idempotency-replayed': 'true', location: `/messages/${id}` });
    app.settle(id, { status: 'sent' });
    expect((await first).statusCode).toBe(200);
    const third = await app.send(MAIL, KEY);
    expect([third.statusCode, third.body]).toEqual([200, (await first).body]);
    expect(third.headers['preference-applied']).toBe('wait=10');
  });

  test('repeats the error of a delivery that failed while the client waited', async () => {
    await using app = await startApp();
    const first = app.send(MAIL, { ...KEY, prefer: 'wait=10' });
    const id = await vi.waitUntil(() => [...app.waiting][0]);
    app.settle(id, {
      status: 'failed',
      error: { code: 'recipients_rejected', detail: 'd', hint: 'h', scope: 'message', smtp: null },
    });
    const second = await app.send(MAIL, KEY);
    expect([second.statusCode, second.body]).toEqual([422, (await first).body]);
    expect(second.headers['idempotency-replayed']).toBe('true');
    expect(app.accepted).toHaveLength(1);
  });

  test('releases the key after a refusal', async () => {
    let full = true;
    const acceptedMessages: unknown[] = [];
    const fake = await startApp();
    await using app = await startApp({
      intake: {
        async check() {},
        async accept(message, { caller }) {
          if (full) throw new AppError('queue_full', { retryAfter: 5 });
          acceptedMessages.push(message);
          await fake.send(MAIL);
          const delivery = fake.accepted[0]?.delivery;
          if (!delivery) throw new Error('nothing was accepted');
          return { ...delivery, owner: caller.name };
        },
        preview: () => Promise.reject(new Error('not used')),
      },
    });
    expect((await app.send(MAIL, KEY)).statusCode).toBe(503);
    expect((await app.send({}, KEY)).statusCode).toBe(422);
    full = false;
    const response = await app.send({ ...MAIL, subject: 'Another' }, KEY);
    expect(response.statusCode).toBe(202);
    expect(response.headers).not.toHaveProperty('idempotency-replayed');
    expect(acceptedMessages).toHaveLength(1);
    await fake[Symbol.asyncDispose]();
  });

  test('repeats the response even if the times in the request have passed', async () => {
    await using app = await startApp();
    const body = { ...MAIL, expires_at: later(60_000) };
    await app.send(body, KEY);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 120_000 });
    try {
      expect((await app.send(body, KEY)).headers['idempotency-replayed']).toBe('true');
      expect((await app.send(body)).statusCode).toBe(422);
    } finally {
      vi.useRealTimers();
    }
  });

  test('releases the key if a time in the request has passed', async () => {
    await using app = await startApp();
    expect((await app.send({ ...MAIL, expires_at: '2020-01-01T00:00:00Z' }, KEY)).statusCode).toBe(422);
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
  });

  test('sends the response even if it cannot be stored, and sends nothing twice', async () => {
    const store = createLedger();
    await using app = await startApp({
      idempotency: { ...store, accept: () => Promise.reject(new Error('unavailable')) },
    });
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
    expect((await app.send(MAIL, KEY)).json().code).toBe('idempotency_in_progress');
    expect(app.accepted).toHaveLength(1);
    expect(app.logs).toContainEqual(
      expect.objectContaining({
        msg: 'response could not be stored for its Idempotency-Key',
        msg_id: app.accepted[0]?.delivery.id,
      }),
    );
  });

  test('returns the state of the message if waiting for it failed', async () => {
    await using app = await startApp({ waiters: { wait: () => Promise.reject(new Error('a bug')) } });
    expect((await app.send(MAIL, { ...KEY, prefer: 'wait=10' })).statusCode).toBe(500);
    expect((await app.send(MAIL, KEY)).json()).toMatchObject({
      id: app.accepted[0]?.delivery.id,
      status: 'queued',
    });
    expect(app.accepted).toHaveLength(1);
  });

  test('is separate for each API key', async () => {
    await using app = await startApp();
    await app.send(MAIL, KEY);
    expect((await app.send(MAIL, { ...KEY, ...SHOP })).headers).not.toHaveProperty('idempotency-replayed');
    expect(app.accepted).toHaveLength(2);
  });

  test('is ignored by dry runs', async () => {
    await using app = await startApp();
    await app.send({ ...MAIL, dry_run: true }, KEY);
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
    expect((await app.send({ ...MAIL, dry_run: true }, KEY)).json()).toMatchObject({ dry_run: true });
  });

  test('accepts the key in quotes as the same key', async () => {
    await using app = await startApp();
    await app.send(MAIL, { 'idempotency-key': 'a"b\\c' });
    expect(
      (await app.send(MAIL, { 'idempotency-key': '"a\\"b\\\\c"' })).headers['idempotency-replayed'],
    ).toBe('true');
  });

  test.each(['', 'a b', 'ä', 'x'.repeat(257), '"', '"a', '"a"b"', '""', '"a b"'])(
    'refuses the invalid key %j',
    async (key) => {
      await using app = await startApp();
      const response = await app.send(MAIL, { 'idempotency-key': key });
      expect(response.statusCode).toBe(422);
      expect(response.json().errors).toEqual([
        { pointer: 'header:Idempotency-Key', code: 'invalid_format', detail: expect.any(String) },
      ]);
      expect(app.accepted).toEqual([]);
    },
  );

  test('accepts 256 characters', async () => {
    await using app = await startApp();
    expect((await app.send(MAIL, { 'idempotency-key': '~'.repeat(256) })).statusCode).toBe(202);
  });
});

describe('a repeated request with Prefer: wait', () => {
  const WAIT = { ...KEY, prefer: 'wait=20' };

  /** Sends a first request, and disconnects before the outcome is known. */
  async function leaveEarly(app: AppUnderTest): Promise<string> {
    const { port } = new URL(await app.listen());
    const socket = connect(Number(port), '127.0.0.1');
    const body = JSON.stringify(MAIL);
    const lines = [
      'POST /send HTTP/1.1',
      'Host: x',
      `Authorization: ${CRM.authorization}`,
      'Content-Type: application/json',
    ];
    const fields = [
      `Prefer: wait=60`,
      `Idempotency-Key: ${KEY['idempotency-key']}`,
      `Content-Length: ${body.length}`,
    ];
    socket.write(`${[...lines, ...fields].join('\r\n')}\r\n\r\n${body}`);
    const id = await vi.waitUntil(() => [...app.waiting][0]);
    socket.destroy();
    await vi.waitUntil(() => app.waiting.size === 0);
    return id;
  }

  test('returns the outcome even if the first client disconnected, and sends nothing twice', async () => {
    await using app = await startApp();
    const id = await leaveEarly(app);
    const again = app.send(MAIL, WAIT);
    await vi.waitUntil(() => app.waiting.has(id));
    app.settle(id, { status: 'sent' });
    const response = await again;
    expect([response.statusCode, response.json()]).toMatchObject([200, { id, status: 'sent' }]);
    expect(response.headers).toMatchObject({
      'idempotency-replayed': 'true',
      'preference-applied': 'wait=20',
    });
    expect(app.accepted).toHaveLength(1);
    for (const headers of [KEY, WAIT]) {
      const later = await app.send(MAIL, headers);
      expect([later.statusCode, later.body]).toEqual([200, response.body]);
    }
  });

  test('returns the error of a failed delivery, as the first request would', async () => {
    await using app = await startApp();
    const id = await leaveEarly(app);
    const again = app.send(MAIL, WAIT);
    await vi.waitUntil(() => app.waiting.has(id));
    app.settle(id, {
      status: 'failed',
      error: { code: 'recipients_rejected', detail: 'd', hint: 'h', scope: 'message', smtp: null },
    });
    const response = await again;
    expect([response.statusCode, response.json()]).toMatchObject([
      422,
      { code: 'recipients_rejected', message: { id, status: 'failed' } },
    ]);
    expect((await app.send(MAIL, WAIT)).body).toBe(response.body);
  });

  test('returns the current state each time the wait ends early', async () => {
    await using app = await startApp();
    const id = await leaveEarly(app);
    for (const status of ['sending', 'deferred'] as const) {
      app.keep({ ...(app.accepted[0]?.delivery ?? aDelivery()), status });
      const again = app.send(MAIL, WAIT);
      await vi.waitUntil(() => app.waiting.has(id));
      app.letGo(id);
      expect((await again).json()).toMatchObject({ id, status });
      expect((await app.send(MAIL, KEY)).json()).toMatchObject({ id, status });
    }
  });

  test('waits although the first request did not', async () => {
    await using app = await startApp();
    const first = await app.send(MAIL, KEY);
    expect((await app.send(MAIL, KEY)).body).toBe(first.body);
    const again = app.send(MAIL, WAIT);
    const id = await vi.waitUntil(() => [...app.waiting][0]);
    app.settle(id, { status: 'sent' });
    expect((await again).statusCode).toBe(200);
    expect((await app.send(MAIL, KEY)).json()).toMatchObject({ status: 'sent' });
  });
});

describe('a repeated request whose cached response is gone', () => {
  /** An idempotency store that drops responses at once. */
  function withoutResponses() {
    const bounds = { forMs: 60_000, maxCount: 1000, maxBytes: 1e7, onEarlyDrop() {} };
    return createMemoryIdempotency({ claims: bounds, responses: { ...bounds, maxBytes: 0 } });
  }

  const post = (app: AppUnderTest, url: string, body: unknown, headers: object = {}) =>
    app.inject({
      method: 'POST',
      url,
      headers: { ...CRM, ...KEY, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });

  test('returns the id and current state of its message', async () => {
    await using app = await startApp({ idempotency: withoutResponses() });
    const { id } = (await app.send(MAIL, KEY)).json();
    app.settle(id, {
      status: 'failed',
      error: { code: 'recipients_rejected', detail: 'd', hint: 'h', scope: 'message', smtp: null },
    });
    const again = await app.send(MAIL, KEY);
    expect([again.statusCode, again.json()]).toMatchObject([202, { id, status: 'failed' }]);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(app.accepted).toHaveLength(1);
  });

  test.each([
    [
      'the tombstone',
      { id: 'kept', status: 'sent', finishedAt: 1_800_000_000_000 } as const,
      'sent',
      '2027-01-15T08:00:00.000Z',
    ],
    ['only the id', null, null, null],
  ])('returns %s if the message is gone too', async (_, tombstone, status, finished_at) => {
    const store = { get: async () => null, tombstone: async () => tombstone, refusalCode: () => null };
    await using app = await startApp({ idempotency: withoutResponses(), store });
    const { id } = (await app.send(MAIL, KEY)).json();
    for (const headers of [KEY, { ...KEY, prefer: 'wait=10' }]) {
      const again = await app.send(MAIL, headers);
      expect([again.statusCode, again.json(), again.headers['idempotency-replayed']]).toEqual([
        200,
        { id, status, finished_at },
        'true',
      ]);
    }
    expect(app.accepted).toHaveLength(1);
  });

  test('returns the current state of each message of a batch, in order', async () => {
    await using app = await startApp({ idempotency: withoutResponses() });
    const messages = [
      MAIL,
      { ...MAIL, expires_at: '2020-01-01T00:00:00Z' },
      {},
      { ...MAIL, dry_run: true },
      { ...MAIL, to: 'bob@example.com' },
    ];
    const first = await post(app, '/send/batch', { messages });
    expect(first.json()).toMatchObject({ accepted: 2, refused: 2 });
    for (const { delivery } of app.accepted) app.settle(delivery.id, { status: 'sent' });
    const again = await post(app, '/send/batch', { messages });
    expect([again.statusCode, again.headers['idempotency-replayed']]).toEqual([207, 'true']);
    const [ada, late, wrong, dry, bob] = first.json().results;
    expect(again.json()).toMatchObject({
      accepted: 2,
      refused: 2,
      results: [
        { status: 202, message: { id: ada.message.id, status: 'sent' } },
        { status: late.status, error: { code: late.error.code } },
        { status: wrong.status, error: { ...wrong.error, request_id: expect.any(String) } },
        { status: dry.status, preview: { dry_run: true } },
        { status: 202, message: { id: bob.message.id, status: 'sent' } },
      ],
    });
    expect(app.accepted).toHaveLength(2);
  });

  test('returns the tombstones of a batch whose messages are gone', async () => {
    const store = {
      get: async () => null,
      tombstone: async (id: string) => ({ id, status: 'sent', finishedAt: 0 }) as const,
      refusalCode: () => null,
    };
    await using app = await startApp({ idempotency: withoutResponses(), store });
    const first = await post(app, '/send/batch', { messages: [MAIL] });
    const again = await post(app, '/send/batch', { messages: [MAIL] });
    const { id } = first.json().results[0].message;
    expect([again.statusCode, again.json().results]).toEqual([
      202,
      [{ status: 200, message: { id, status: 'sent', finished_at: '1970-01-01T00:00:00.000Z' } }],
    ]);
  });

  test.each(['strict', 'permissive'])(
    'returns the same ids from POST /emails and /emails/batch (%s)',
    async (mode) => {
      await using app = await startApp({ idempotency: withoutResponses() });
      const email = { from: 'a@acme.com', ...MAIL };
      const one = await post(app, '/emails', email);
      expect((await post(app, '/emails', email)).json()).toEqual(one.json());
      const headers = { 'x-batch-validation': mode };
      const emails = mode === 'strict' ? [email, email] : [email, { ...email, to: 'nobody' }, email];
      const many = await post(app, '/emails/batch', emails, headers);
      const again = await post(app, '/emails/batch', emails, headers);
      expect([again.statusCode, again.json().data, again.headers['idempotency-replayed']]).toEqual([
        200,
        many.json().data,
        'true',
      ]);
      expect(again.json().errors?.map(({ index }: { index: number }) => index)).toEqual(
        mode === 'strict' ? undefined : [1],
      );
      expect(app.accepted).toHaveLength(3);
    },
  );
});

describe('a repeated request after an unknown outcome', () => {
  const ALL = { ...ANY_DELIVERY, limit: 100, after: null };
  const unavailable = () => Promise.reject(new AppError('queue_unavailable'));

  /** The real intake, with a memory backend that the test makes fail. */
  async function start({ keys = [aKey(CRM_SECRET, { name: 'crm' })] }: { keys?: readonly ApiKey[] } = {}) {
    const backend = aBackend();
    const { queue, store, idempotency, sharedState } = backend;
    const apiKeys = createApiKeys(keys, sharedState);
    let isDraining = false;
    const intake = createIntake({
      store,
      events: createEvents(),
      apiKeys,
      accounts: { route: (message) => ({ message, account: 'bot@acme.com' }) },
      suppressions: createSuppressions({
        store: backend.suppressions,
        events: createEvents(),
        suppressRefused: true,
        onError() {},
      }),
      templates: NO_TEMPLATES,
      composer: { compose: async () => ({ size: 1, headers: [] }), typeOf: () => 'application/octet-stream' },
      inspector: { findBlocked: async () => [] },
      allowedRecipients: null,
      redirectAllTo: null,
      maxMessageBytes: 1e6,
      isDraining: () => isDraining,
    });
    const app = await startApp({ intake, apiKeys, idempotency });
    onTestFinished(async () => {
      await app[Symbol.asyncDispose]();
      await backend.close();
    });
    return {
      ...app,
      queue,
      store,
      idempotency,
      drain: (draining: boolean) => (isDraining = draining),
      storedIds: async () => (await store.list(ALL)).map(({ id }) => id),
      sendAll: (messages: readonly unknown[]) =>
        app.inject({
          method: 'POST',
          url: '/send/batch',
          headers: { ...CRM, ...KEY, 'content-type': 'application/json' },
          body: JSON.stringify({ messages }),
        }),
    };
  }

  /** The message is stored, but the store reports an error. */
  function loseResponses({ store }: Pick<Awaited<ReturnType<typeof start>>, 'store'>) {
    const { insert } = store;
    vi.spyOn(store, 'insert').mockImplementationOnce(async (delivery) => {
      await insert(delivery);
      return unavailable();
    });
    vi.spyOn(store, 'get').mockImplementationOnce(unavailable);
  }

  test.each(['was', 'was not'] as const)(
    'creates one message (the first request %s stored)',
    async (what) => {
      const app = await start();
      if (what === 'was') loseResponses(app);
      else vi.spyOn(app.store, 'insert').mockImplementationOnce(unavailable);
      const first = await app.send(MAIL, KEY);
      expect([first.statusCode, first.json().code]).toEqual([503, 'queue_unavailable']);
      const second = await app.send(MAIL, KEY);
      expect([second.statusCode, second.headers['idempotency-replayed']]).toEqual([202, undefined]);
      expect(await app.storedIds()).toEqual([second.json().id]);
      const third = await app.send(MAIL, KEY);
      expect([third.body, third.headers['idempotency-replayed']]).toEqual([second.body, 'true']);
      expect(await app.storedIds()).toHaveLength(1);
    },
  );

  test('is not needed if the message turns out to be stored: the first request is accepted', async () => {
    const app = await start();
    const { insert } = app.store;
    vi.spyOn(app.store, 'insert').mockImplementationOnce(async (delivery) => {
      await insert(delivery);
      return unavailable();
    });
    const first = await app.send(MAIL, KEY);
    expect(first.statusCode).toBe(202);
    expect((await app.send(MAIL, KEY)).body).toBe(first.body);
    expect(await app.storedIds()).toEqual([first.json().id]);
  });

  test('is refused if it differs from the first', async () => {
    const app = await start();
    loseResponses(app);
    await app.send(MAIL, KEY);
    expect((await app.send({ ...MAIL, subject: 'Another' }, KEY)).json().code).toBe('idempotency_key_reused');
    expect(await app.storedIds()).toHaveLength(1);
  });

  test('creates one message even if it would now be refused', async () => {
    const app = await start({ keys: [aKey(CRM_SECRET, { name: 'crm', dailyLimit: 1 })] });
    loseResponses(app);
    await app.send(MAIL, KEY);
    const [id] = await app.storedIds();
    expect((await app.send(MAIL, KEY)).json()).toMatchObject({ id });
    expect((await app.send(MAIL)).json().code).toBe('rate_limited');
  });

  test('creates one message even if its times have passed', async () => {
    const app = await start();
    const body = { ...MAIL, expires_at: later(60_000) };
    loseResponses(app);
    await app.send(body, KEY);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 120_000 });
    const second = await app.send(body, KEY);
    vi.useRealTimers();
    expect(second.statusCode).toBe(202);
    expect(await app.storedIds()).toEqual([second.json().id]);
  });

  test('creates one message even if it is repeated during a shutdown', async () => {
    const app = await start();
    loseResponses(app);
    await app.send(MAIL, KEY);
    app.drain(true);
    await app.send(MAIL, KEY);
    app.drain(false);
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
    expect(await app.storedIds()).toHaveLength(1);
  });

  test('creates each message of a batch once, whether it was stored or not', async () => {
    const app = await start();
    const messages = ['a', 'b', 'c', 'd'].map((subject) => ({ ...MAIL, subject }));
    const { insert } = app.store;
    let inserts = 0;
    vi.spyOn(app.store, 'insert').mockImplementation(async (delivery) => {
      inserts += 1;
      if (inserts === 2) await insert(delivery);
      return inserts === 2 || inserts === 4 ? unavailable() : insert(delivery);
    });
    vi.spyOn(app.store, 'get').mockImplementationOnce(unavailable);
    const first = await app.sendAll(messages);
    expect(first.json()).toMatchObject({ accepted: 2, refused: 2 });
    const second = await app.sendAll(messages);
    expect([second.statusCode, second.json()]).toMatchObject([202, { accepted: 4, refused: 0 }]);
    const idsOf = (response: typeof first) =>
      response.json().results.map(({ message }: { message?: { id: string } }) => message?.id);
    expect(idsOf(second).slice(0, 1).concat(idsOf(second)[2])).toEqual([idsOf(first)[0], idsOf(first)[2]]);
    expect((await app.storedIds()).toSorted()).toEqual(idsOf(second).toSorted());
    expect((await app.sendAll(messages)).headers['idempotency-replayed']).toBe('true');
  });

  test('is executed even if the idempotency store was unavailable when the first one ended', async () => {
    const app = await start();
    loseResponses(app);
    vi.spyOn(app.idempotency, 'markUnknown').mockImplementationOnce(unavailable);
    expect((await app.send(MAIL, KEY)).json().code).toBe('queue_unavailable');
    await expect.poll(async () => (await app.send(MAIL, KEY)).statusCode, { timeout: 5000 }).toBe(202);
    expect(await app.storedIds()).toHaveLength(1);
  });

  test('stores the response later if the idempotency store is unavailable', async () => {
    const app = await start();
    const response = vi
      .spyOn(app.idempotency, 'accept')
      .mockImplementationOnce(unavailable)
      .mockImplementationOnce(unavailable);
    const first = await app.send(MAIL, KEY);
    expect(first.statusCode).toBe(202);
    await expect.poll(() => response.mock.calls.length, { timeout: 5000 }).toBe(3);
    const second = await app.send(MAIL, KEY);
    expect([second.body, second.headers['idempotency-replayed']]).toEqual([first.body, 'true']);
  });

  test('is accepted once it is stored, and queued later if the queue is unavailable', async () => {
    const app = await start();
    const push = vi.spyOn(app.queue, 'push').mockImplementationOnce(unavailable);
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
    await expect.poll(() => push.mock.calls.length, { timeout: 5000 }).toBe(2);
    expect(push.mock.calls[1]).toEqual(push.mock.calls[0]);
  });
});
