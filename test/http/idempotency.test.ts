import { connect } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createMemoryIdempotency } from '../../src/adapters/memory/idempotency.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import type { ApiKey } from '../../src/core/auth/caller.ts';
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
  test('a repeated request gets the identical response and sends nothing', async () => {
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

  test('a request with another order of keys or another notation is the same request', async () => {
    await using app = await startApp();
    await app.send({ ...MAIL, tags: { a: '1', b: '2' } }, KEY);
    const { to, subject, text } = MAIL;
    const answer = await app.send(
      { tags: { b: '2', a: '1' }, text, subject, to: [{ email: to }], cc: [] },
      KEY,
    );
    expect(answer.headers['idempotency-replayed']).toBe('true');
  });

  test.each([
    ['subject', { subject: 'Another' }],
    ['recipient', { to: 'bob@example.com' }],
    ['attachment', { attachments: [{ filename: 'a.txt', content: 'YQ==' }] }],
    ['tag', { tags: { a: '1' } }],
  ])('another %s with the same key is refused', async (_, change) => {
    await using app = await startApp();
    await app.send(MAIL, KEY);
    const answer = await app.send({ ...MAIL, ...change }, KEY);
    expect([answer.statusCode, answer.json().code]).toEqual([422, 'idempotency_key_reused']);
    expect(app.accepted).toHaveLength(1);
  });

  test('the bytes of attachments are compared', async () => {
    await using app = await startApp();
    const withFile = (content: string) => ({ ...MAIL, attachments: [{ filename: 'a.txt', content }] });
    await app.send(withFile('YQ=='), KEY);
    expect((await app.send(withFile('YQ=='), KEY)).headers['idempotency-replayed']).toBe('true');
    expect((await app.send(withFile('Yg=='), KEY)).json().code).toBe('idempotency_key_reused');
  });

  test('a second request gets idempotency_in_progress until the first is accepted', async () => {
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

  test('a second request gets the current state while the first waits, and the identical response after the outcome', async () => {
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

  test('a failure during the wait is a response that is repeated', async () => {
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

  test('a refusal releases the key', async () => {
    let full = true;
    const taken: unknown[] = [];
    const fake = await startApp();
    await using app = await startApp({
      intake: {
        async check() {},
        async accept(message, caller) {
          if (full) throw new AppError('queue_full', { retryAfter: 5 });
          taken.push(message);
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
    const answer = await app.send({ ...MAIL, subject: 'Another' }, KEY);
    expect(answer.statusCode).toBe(202);
    expect(answer.headers).not.toHaveProperty('idempotency-replayed');
    expect(taken).toHaveLength(1);
    await fake[Symbol.asyncDispose]();
  });

  test('a repeated request gets its response even after its times have passed', async () => {
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

  test('a request refused for its times releases the key', async () => {
    await using app = await startApp();
    expect((await app.send({ ...MAIL, expires_at: '2020-01-01T00:00:00Z' }, KEY)).statusCode).toBe(422);
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
  });

  test('a response that cannot be stored is returned anyway, and nothing is sent twice', async () => {
    const ledger = createLedger();
    await using app = await startApp({
      idempotency: { ...ledger, accept: () => Promise.reject(new Error('the ledger is gone')) },
    });
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
    expect((await app.send(MAIL, KEY)).json().code).toBe('idempotency_in_progress');
    expect(app.accepted).toHaveLength(1);
    expect(app.logs).toContainEqual(
      expect.objectContaining({ msg: 'the answer could not be kept', msg_id: app.accepted[0]?.delivery.id }),
    );
  });

  test('a repeated request gets the state of its message if the first failed while it waited', async () => {
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

  test('a dry run ignores it', async () => {
    await using app = await startApp();
    await app.send({ ...MAIL, dry_run: true }, KEY);
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
    expect((await app.send({ ...MAIL, dry_run: true }, KEY)).json()).toMatchObject({ dry_run: true });
  });

  test('is the same with and without quotes', async () => {
    await using app = await startApp();
    await app.send(MAIL, { 'idempotency-key': 'a"b\\c' });
    expect(
      (await app.send(MAIL, { 'idempotency-key': '"a\\"b\\\\c"' })).headers['idempotency-replayed'],
    ).toBe('true');
  });

  test.each(['', 'a b', 'ä', 'x'.repeat(257), '"', '"a', '"a"b"', '""', '"a b"'])(
    '%j is refused',
    async (key) => {
      await using app = await startApp();
      const answer = await app.send(MAIL, { 'idempotency-key': key });
      expect(answer.statusCode).toBe(422);
      expect(answer.json().errors).toEqual([
        { pointer: 'header:Idempotency-Key', code: 'invalid_format', detail: expect.any(String) },
      ]);
      expect(app.accepted).toEqual([]);
    },
  );

  test('can have 256 characters', async () => {
    await using app = await startApp();
    expect((await app.send(MAIL, { 'idempotency-key': '~'.repeat(256) })).statusCode).toBe(202);
  });
});

describe('a repeated request that waits', () => {
  const WAIT = { ...KEY, prefer: 'wait=20' };

  /** Sends a first request and disconnects before its outcome. */
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

  test('gets the outcome, even if the first client disconnected, and nothing is sent twice', async () => {
    await using app = await startApp();
    const id = await leaveEarly(app);
    const again = app.send(MAIL, WAIT);
    await vi.waitUntil(() => app.waiting.has(id));
    app.settle(id, { status: 'sent' });
    const answer = await again;
    expect([answer.statusCode, answer.json()]).toMatchObject([200, { id, status: 'sent' }]);
    expect(answer.headers).toMatchObject({ 'idempotency-replayed': 'true', 'preference-applied': 'wait=20' });
    expect(app.accepted).toHaveLength(1);
    for (const headers of [KEY, WAIT]) {
      const later = await app.send(MAIL, headers);
      expect([later.statusCode, later.body]).toEqual([200, answer.body]);
    }
  });

  test('gets a failure like a first request', async () => {
    await using app = await startApp();
    const id = await leaveEarly(app);
    const again = app.send(MAIL, WAIT);
    await vi.waitUntil(() => app.waiting.has(id));
    app.settle(id, {
      status: 'failed',
      error: { code: 'recipients_rejected', detail: 'd', hint: 'h', scope: 'message', smtp: null },
    });
    const answer = await again;
    expect([answer.statusCode, answer.json()]).toMatchObject([
      422,
      { code: 'recipients_rejected', message: { id, status: 'failed' } },
    ]);
    expect((await app.send(MAIL, WAIT)).body).toBe(answer.body);
  });

  test('can time out repeatedly, each time with the current state', async () => {
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

  test('waits even if the first one did not', async () => {
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

describe('a repeated request whose response is no longer stored', () => {
  /** An idempotency store that drops responses at once. */
  function withoutAnswers() {
    const bounds = { forMs: 60_000, maxCount: 1000, maxBytes: 1e7, onEarly() {} };
    return createMemoryIdempotency({ claims: bounds, answers: { ...bounds, maxBytes: 0 } });
  }

  const post = (app: AppUnderTest, url: string, body: unknown, headers: object = {}) =>
    app.inject({
      method: 'POST',
      url,
      headers: { ...CRM, ...KEY, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });

  test('gets the id of its message and its current state', async () => {
    await using app = await startApp({ idempotency: withoutAnswers() });
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
      'its tombstone',
      { id: 'kept', status: 'sent', finishedAt: 1_800_000_000_000 } as const,
      'sent',
      '2027-01-15T08:00:00.000Z',
    ],
    ['its id', null, null, null],
  ])('gets %s if the message is no longer stored either', async (_, tombstone, status, finished_at) => {
    const store = { get: async () => null, tombstone: async () => tombstone, refusal: () => null };
    await using app = await startApp({ idempotency: withoutAnswers(), store });
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

  test('for a batch gets the outcome of each message in its place', async () => {
    await using app = await startApp({ idempotency: withoutAnswers() });
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

  test('for a batch gets the tombstones of messages that are no longer stored', async () => {
    const store = {
      get: async () => null,
      tombstone: async (id: string) => ({ id, status: 'sent', finishedAt: 0 }) as const,
      refusal: () => null,
    };
    await using app = await startApp({ idempotency: withoutAnswers(), store });
    const first = await post(app, '/send/batch', { messages: [MAIL] });
    const again = await post(app, '/send/batch', { messages: [MAIL] });
    const { id } = first.json().results[0].message;
    expect([again.statusCode, again.json().results]).toEqual([
      202,
      [{ status: 200, message: { id, status: 'sent', finished_at: '1970-01-01T00:00:00.000Z' } }],
    ]);
  });

  test.each(['strict', 'permissive'])('gets the same ids in the shape of Resend’s API (%s)', async (mode) => {
    await using app = await startApp({ idempotency: withoutAnswers() });
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
  });
});

describe('a request with an unknown outcome', () => {
  const ALL = {
    owner: null,
    statuses: null,
    tag: null,
    recipient: null,
    createdAfter: null,
    createdBefore: null,
    limit: 100,
    after: null,
  };
  const unavailable = () => Promise.reject(new AppError('queue_unavailable'));

  /** Starts a real intake over a memory backend that the test can break. */
  async function start({ keys = [aKey(CRM_SECRET, { name: 'crm' })] }: { keys?: readonly ApiKey[] } = {}) {
    const backend = aBackend();
    const { queue, store, idempotency, sharedState } = backend;
    const apiKeys = createApiKeys(keys, sharedState);
    let isDraining = false;
    const intake = createIntake({
      queue,
      store,
      apiKeys,
      accounts: { route: (message) => ({ message, account: 'bot@acme.com' }) },
      suppressions: createSuppressions({
        store: backend.suppressions,
        events: createEvents(),
        learn: true,
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
      kept: async () => (await store.list(ALL)).map(({ id }) => id),
      sendAll: (messages: readonly unknown[]) =>
        app.inject({
          method: 'POST',
          url: '/send/batch',
          headers: { ...CRM, ...KEY, 'content-type': 'application/json' },
          body: JSON.stringify({ messages }),
        }),
    };
  }

  /** Stores the message, but fails the request. */
  function loseAnswers({ store }: Pick<Awaited<ReturnType<typeof start>>, 'store'>) {
    const { insert } = store;
    vi.spyOn(store, 'insert').mockImplementationOnce(async (delivery) => {
      await insert(delivery);
      return unavailable();
    });
    vi.spyOn(store, 'get').mockImplementationOnce(unavailable);
  }

  test.each(['was', 'was not'] as const)(
    'can be repeated and creates one message (which %s stored the first time)',
    async (what) => {
      const app = await start();
      if (what === 'was') loseAnswers(app);
      else vi.spyOn(app.store, 'insert').mockImplementationOnce(unavailable);
      const first = await app.send(MAIL, KEY);
      expect([first.statusCode, first.json().code]).toEqual([503, 'queue_unavailable']);
      const second = await app.send(MAIL, KEY);
      expect([second.statusCode, second.headers['idempotency-replayed']]).toEqual([202, undefined]);
      expect(await app.kept()).toEqual([second.json().id]);
      const third = await app.send(MAIL, KEY);
      expect([third.body, third.headers['idempotency-replayed']]).toEqual([second.body, 'true']);
      expect(await app.kept()).toHaveLength(1);
    },
  );

  test('is accepted if the message was stored and only the reply of the store was lost', async () => {
    const app = await start();
    const { insert } = app.store;
    vi.spyOn(app.store, 'insert').mockImplementationOnce(async (delivery) => {
      await insert(delivery);
      return unavailable();
    });
    const first = await app.send(MAIL, KEY);
    expect(first.statusCode).toBe(202);
    expect((await app.send(MAIL, KEY)).body).toBe(first.body);
    expect(await app.kept()).toEqual([first.json().id]);
  });

  test('still refuses another request with its key', async () => {
    const app = await start();
    loseAnswers(app);
    await app.send(MAIL, KEY);
    expect((await app.send({ ...MAIL, subject: 'Another' }, KEY)).json().code).toBe('idempotency_key_reused');
    expect(await app.kept()).toHaveLength(1);
  });

  test('creates one message even if it would be refused by now', async () => {
    const app = await start({ keys: [aKey(CRM_SECRET, { name: 'crm', dailyLimit: 1 })] });
    loseAnswers(app);
    await app.send(MAIL, KEY);
    const [id] = await app.kept();
    expect((await app.send(MAIL, KEY)).json()).toMatchObject({ id });
    expect((await app.send(MAIL)).json().code).toBe('rate_limited');
  });

  test('creates one message even if its times have passed', async () => {
    const app = await start();
    const body = { ...MAIL, expires_at: later(60_000) };
    loseAnswers(app);
    await app.send(body, KEY);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 120_000 });
    const second = await app.send(body, KEY);
    vi.useRealTimers();
    expect(second.statusCode).toBe(202);
    expect(await app.kept()).toEqual([second.json().id]);
  });

  test('creates one message even if it is repeated during shutdown', async () => {
    const app = await start();
    loseAnswers(app);
    await app.send(MAIL, KEY);
    app.drain(true);
    await app.send(MAIL, KEY);
    app.drain(false);
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
    expect(await app.kept()).toHaveLength(1);
  });

  test('for a batch creates each message once, stored before or not, in its place', async () => {
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
    const idsOf = (answer: typeof first) =>
      answer.json().results.map(({ message }: { message?: { id: string } }) => message?.id);
    expect(idsOf(second).slice(0, 1).concat(idsOf(second)[2])).toEqual([idsOf(first)[0], idsOf(first)[2]]);
    expect((await app.kept()).toSorted()).toEqual(idsOf(second).toSorted());
    expect((await app.sendAll(messages)).headers['idempotency-replayed']).toBe('true');
  });

  test('can be repeated even if the idempotency store was unavailable when it ended', async () => {
    const app = await start();
    loseAnswers(app);
    vi.spyOn(app.idempotency, 'markUnknown').mockImplementationOnce(unavailable);
    expect((await app.send(MAIL, KEY)).json().code).toBe('queue_unavailable');
    await expect.poll(async () => (await app.send(MAIL, KEY)).statusCode, { timeout: 5000 }).toBe(202);
    expect(await app.kept()).toHaveLength(1);
  });

  test('stores its response later if the idempotency store is unavailable', async () => {
    const app = await start();
    const answer = vi
      .spyOn(app.idempotency, 'accept')
      .mockImplementationOnce(unavailable)
      .mockImplementationOnce(unavailable);
    const first = await app.send(MAIL, KEY);
    expect(first.statusCode).toBe(202);
    await expect.poll(() => answer.mock.calls.length, { timeout: 5000 }).toBe(3);
    const second = await app.send(MAIL, KEY);
    expect([second.body, second.headers['idempotency-replayed']]).toEqual([first.body, 'true']);
  });

  test('is accepted once it is stored, and reaches the queue later', async () => {
    const app = await start();
    const push = vi.spyOn(app.queue, 'push').mockImplementationOnce(unavailable);
    expect((await app.send(MAIL, KEY)).statusCode).toBe(202);
    await expect.poll(() => push.mock.calls.length, { timeout: 5000 }).toBe(2);
    expect(push.mock.calls[1]).toEqual(push.mock.calls[0]);
  });
});
