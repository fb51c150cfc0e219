import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { twoInstances } from '../helpers/imap/two-instances.ts';
import { hasRedis } from '../helpers/redis.ts';
import { API_KEY, APP_PASSWORD, startService } from '../helpers/service.ts';
import { accountsOf, sendMany, startWithGmail, type WithGmail } from '../helpers/smtp/gmail.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const LOST = { to: 'drop-after-dot@simulator.test', subject: 'Hello', text: 'Hello, Ada.' };
const HELLO = { ...LOST, to: 'ada@example.com' };
const USER = 'bot@simulator.test';
const HOLD = { ON_UNCERTAIN: 'hold' };
const TIMEOUT_MS = 60_000;

const copiesOf = ({ gmail }: WithGmail, messageId = '') =>
  gmail.messages.filter(({ raw }) => raw.includes(messageId)).length;

function reconcile({ service }: Pick<WithGmail, 'service'>, id: string) {
  return service.request(`/messages/${id}/reconcile`, { method: 'POST' });
}

describe.concurrent('a message whose reply was lost', { timeout: TIMEOUT_MS }, () => {
  test.each([
    ['at once', {}],
    ['although the index lags', { indexLagMs: 3_600_000 }],
    ['although it is filed late', { filingDelayMs: 300 }],
    ['in a localized folder', { sentName: '[Gmail]/Gesendet' }],
  ])('is found in Sent Mail %s', async (_when, settings) => {
    await using app = await startWithGmail({ imap: true });
    app.gmail.imap.configure(settings);
    const { status, body } = await app.service.send(LOST, { wait: 30 });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      status: 'sent',
      error: null,
      possible_duplicate: false,
      confirmed_by: 'sent_mail',
      attempts: [{ number: 1, smtp: null, error: { code: 'connection_lost' }, confirmed_by: 'sent_mail' }],
      recipients: [{ status: 'accepted', smtp: null }],
    });
    expect(copiesOf(app, body.message_id)).toBe(1);
    const [account] = await accountsOf(app.service);
    expect(account).toMatchObject({
      quota: { messages: { used: 1 } },
      mailbox: { status: 'ready', code: null },
    });
    expect(app.gmail.imap.commands.filter(({ writes }) => writes)).toEqual([]);
  });

  test('is sent again if it is never found, as a possible duplicate', async () => {
    await using app = await startWithGmail({ imap: true, env: { RECONCILE_FOR: '20s' } });
    app.gmail.imap.configure({ filingDelayMs: 3_600_000 });
    const { body } = await app.service.send(LOST, { wait: 30 });
    expect(body).toMatchObject({
      status: 'sent',
      possible_duplicate: true,
      confirmed_by: null,
      attempts: [{ confirmed_by: null }, { smtp: { code: 250 } }],
    });
    expect(copiesOf(app, body.message_id)).toBe(2);
  });

  test('is held if it is never found with ON_UNCERTAIN=hold, until a client asks for a search', async () => {
    await using app = await startWithGmail({ imap: true, env: { ...HOLD, RECONCILE_FOR: '20s' } });
    app.gmail.imap.configure({ filingDelayMs: 3_600_000 });
    const { status, body } = await app.service.send(LOST, { wait: 30 });
    expect([status, body.code]).toEqual([502, 'delivery_uncertain']);
    expect(body.detail).toMatch(/It was not found in Sent Mail within \d+ s after the attempt\.$/);
    const { id = '', message_id = '' } = body.message ?? {};
    const absent = await reconcile(app, id);
    expect([absent.status, absent.body.status]).toEqual([200, 'uncertain']);
    expect(absent.body.error?.detail).toMatch(/It was not found in Sent Mail \d+ s after the attempt\.$/);
    app.gmail.imap.deliver(`Message-ID: ${message_id}\r\n\r\nHi\r\n`, { folder: 'sent', user: USER });
    const found = await reconcile(app, id);
    expect([found.status, found.body.status, found.body.confirmed_by]).toEqual([200, 'sent', 'sent_mail']);
    const again = await reconcile(app, id);
    expect([again.status, again.body.code]).toEqual([409, 'not_reconcilable']);
    expect(copiesOf(app, message_id)).toBe(1);
  });

  test('is decided as before with RECONCILE=off, without a connection', async () => {
    await using app = await startWithGmail({ imap: true, env: { ...HOLD, RECONCILE: 'off' } });
    const { body } = await app.service.send(LOST, { wait: 30 });
    expect(body.code).toBe('delivery_uncertain');
    expect(body.detail).not.toContain('Sent Mail');
    const refused = await reconcile(app, body.message?.id ?? '');
    expect([refused.status, refused.body.detail]).toEqual([409, 'RECONCILE is off.']);
    expect(app.gmail.imap.counters.connections).toBe(0);
    expect((await accountsOf(app.service))[0]?.mailbox).toEqual({ status: 'off', code: null });
  });

  test('is decided as before if its account is a relay without a login', async () => {
    await using relay = await startSimulator();
    relay.setRelay({ domains: ['simulator.test'], allowed: true });
    await using service = await startService({
      smtp: `smtp://localhost:${relay.starttlsPort}?login=none`,
      ca: relay.ca,
      env: { ...HOLD, GMAIL_APP_PASSWORD: '', GMAIL_DOMAINS: 'simulator.test', IMAP_URL: relay.imap.url },
    });
    const { body } = await service.send(LOST, { wait: 30 });
    expect(body.code).toBe('delivery_uncertain');
    expect(body.detail).not.toContain('Sent Mail');
    const refused = await reconcile({ service }, body.message?.id ?? '');
    expect([refused.status, refused.body.code]).toEqual([409, 'no_mailbox']);
    expect((await accountsOf(service))[0]?.mailbox).toEqual({ status: 'off', code: 'no_mailbox' });
  });

  test('is decided as before without a known IMAP server', async () => {
    await using app = await startWithGmail({ env: HOLD });
    const { body } = await app.service.send(LOST, { wait: 30 });
    expect(body.detail).not.toContain('Sent Mail');
    const refused = await reconcile(app, body.message?.id ?? '');
    expect([refused.status, refused.body.code]).toEqual([409, 'no_mailbox']);
  });
});

describe.concurrent('a search of Sent Mail', { timeout: TIMEOUT_MS }, () => {
  test('goes on after a restart', async () => {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), 'outtray-reconcile-'));
    stack.defer(() => rm(folder, { recursive: true }));
    const gmail = stack.use(await startSimulator({ password: APP_PASSWORD }));
    gmail.imap.configure({ filingDelayMs: 3_600_000 });
    const setup = {
      smtp: gmail.url,
      ca: gmail.ca,
      env: {
        IMAP_URL: gmail.imap.url,
        QUEUE_URL: `sqlite:${join(folder, 'outtray.db')}`,
        RECONCILE_FOR: '5h',
      },
    };
    const first = stack.use(await startService(setup));
    const { body } = await first.send(LOST);
    await vi.waitFor(async () => {
      expect((await first.get(body.id)).error?.detail).toMatch(/It was not found in Sent Mail/);
    }, 10_000);
    await first.close();
    gmail.imap.deliver(`Message-ID: ${body.message_id}\r\n\r\nHi\r\n`, { folder: 'sent', user: USER });
    const second = stack.use(await startService(setup));
    await reconcile({ service: second }, body.id);
    expect(await second.get(body.id)).toMatchObject({ status: 'sent', confirmed_by: 'sent_mail' });
    expect(gmail.messages).toHaveLength(1);
  });

  test('ends at the next start with RECONCILE=off: ON_UNCERTAIN decides', async () => {
    await using stack = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), 'outtray-reconcile-'));
    stack.defer(() => rm(folder, { recursive: true }));
    const gmail = stack.use(await startSimulator({ password: APP_PASSWORD }));
    gmail.imap.configure({ filingDelayMs: 3_600_000 });
    const env = { ...HOLD, IMAP_URL: gmail.imap.url, QUEUE_URL: `sqlite:${join(folder, 'outtray.db')}` };
    const setup = { smtp: gmail.url, ca: gmail.ca, backoffScale: 1 };
    const first = stack.use(await startService({ ...setup, env }));
    const { body } = await first.send(LOST);
    await vi.waitFor(async () => expect((await first.get(body.id)).status).toBe('deferred'), 10_000);
    await first.close();
    const off = stack.use(await startService({ ...setup, env: { ...env, RECONCILE: 'off' } }));
    const { status, error } = await off.settled(body.id);
    expect([status, error?.detail]).toEqual([
      'uncertain',
      expect.stringMatching(/Sent Mail could not be searched .*: RECONCILE is off\.$/),
    ]);
  });

  test('does not delay the end of the service', async () => {
    await using app = await startWithGmail({ imap: true });
    app.gmail.imap.setFault({ kind: 'slow', ms: 600_000 });
    await app.service.send(LOST);
    await app.gmail.waitFor(({ imap }) => imap.counters.connections > 0);
    const startedAt = performance.now();
    await app.service.close();
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });
});

describe.skipIf(!hasRedis)(
  'instances that share a mailbox (with redis-server)',
  { timeout: TIMEOUT_MS },
  () => {
    test('search it one at a time, and another takes over when its holder is killed', async () => {
      await using stack = new AsyncDisposableStack();
      const folder = await mkdtemp(join(tmpdir(), 'outtray-reconcile-'));
      stack.defer(() => rm(folder, { recursive: true }));
      const gmail = stack.use(await startSimulator({ password: APP_PASSWORD }));
      gmail.imap.configure({ filingDelayMs: 3_600_000 });
      const env = { RECONCILE_FOR: '5h' };
      const setup = { gmail, user: USER, env, absentAfterMs: 2000, folder };
      const [one, other] = await twoInstances({ use: (resource) => stack.use(resource) }, setup);
      const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' };
      await one.start();
      const ids: string[] = [];
      for (let i = 0; i < 5; i += 1) {
        const init = { method: 'POST', headers, body: JSON.stringify(LOST) };
        ids.push(((await (await fetch(`${one.url}/send`, init)).json()) as { id: string }).id);
      }
      await gmail.waitFor(({ imap }) => imap.sessions === 1);
      await other.start();
      await one.kill();
      for (const { raw } of gmail.messages) gmail.imap.deliver(raw, { folder: 'sent', user: USER });
      for (const id of ids) {
        await vi.waitFor(async () => {
          const response = await fetch(`${other.url}/messages/${id}/reconcile`, { method: 'POST', headers });
          const message = await (await fetch(`${other.url}/messages/${id}`, { headers })).json();
          expect([response.status, message]).toMatchObject([
            expect.toBeOneOf([200, 409]),
            { status: 'sent', confirmed_by: 'sent_mail' },
          ]);
        }, 30_000);
      }
      expect([gmail.imap.sessions, gmail.messages.length]).toEqual([1, 5]);
    });
  },
);

describe.concurrent('a mailbox that cannot be searched', { timeout: TIMEOUT_MS }, () => {
  test.each([
    ['bad-credentials', 'imap_login_refused', 409],
    ['web-login', 'imap_login_refused', 409],
    ['imap-off-by-admin', 'imap_disabled', 409],
    ['too-many-connections', 'imap_unavailable', 503],
  ] as const)('because of %s is %s, and sending goes on', async (fault, code, status) => {
    await using app = await startWithGmail({ imap: true, env: { ...HOLD, RECONCILE_FOR: '20s' } });
    app.gmail.imap.setLoginFault(fault);
    const { body } = await app.service.send(LOST, { wait: 30 });
    expect(body.detail).toMatch(/Sent Mail could not be searched/);
    const [account] = await accountsOf(app.service);
    const mailbox = { status: status === 409 ? 'refused' : 'ready', code };
    expect(account).toMatchObject({ status: 'ready', mailbox });
    const ids = await sendMany(app.service, 10, HELLO);
    for (const id of ids) expect(await app.service.settled(id)).toMatchObject({ status: 'sent' });
    const { id = '' } = body.message ?? {};
    const refused = await reconcile(app, id);
    expect([refused.status, refused.body.code]).toEqual([status, code]);
    app.gmail.imap.setLoginFault(null);
    await vi.waitFor(async () => expect((await reconcile(app, id)).body.status).toBe('sent'), 5000);
    expect((await accountsOf(app.service))[0]?.mailbox).toEqual({ status: 'ready', code: null });
  });

  test.each([
    ['garbage', { kind: 'garbage' }],
    ['a cut connection', { kind: 'cut', afterBytes: 100 }],
    ['a refused command', { kind: 'refuse', text: '[UNAVAILABLE] Temporary System Error' }],
  ] as const)('because of %s is searched again until it works', async (_name, fault) => {
    await using app = await startWithGmail({ imap: true, env: { RECONCILE_FOR: '2h' } });
    app.gmail.imap.setFault(fault);
    const { body } = await app.service.send(LOST);
    await vi.waitFor(async () => {
      const { error } = await app.service.get(body.id);
      expect(error?.detail).toMatch(/Sent Mail could not be searched: .* The search goes on\.$/);
    }, 10_000);
    expect((await app.service.send(HELLO, { wait: 20 })).body.status).toBe('sent');
    app.gmail.imap.setFault(null);
    await vi.waitFor(async () => {
      await reconcile(app, body.id);
      const found = { status: 'sent', confirmed_by: 'sent_mail' };
      expect(await app.service.get(body.id)).toMatchObject(found);
    }, 10_000);
    expect(copiesOf(app, body.message_id)).toBe(1);
  });

  test('because it does not respond holds up nothing but what it is searched for', async () => {
    await using app = await startWithGmail({ imap: true });
    app.gmail.imap.setFault({ kind: 'slow', ms: 600_000 });
    const lost = await sendMany(app.service, 5, LOST);
    await app.gmail.waitFor(({ imap }) => imap.counters.connections > 0);
    const ids = await sendMany(app.service, 50, HELLO);
    for (const id of ids) expect(await app.service.settled(id)).toMatchObject({ status: 'sent' });
    expect(await app.service.tally(lost)).toEqual({ waiting: 5 });
  });

  test('because nothing listens is decided as before', async () => {
    await using app = await startWithGmail({
      env: { ...HOLD, IMAP_URL: 'imaps://localhost:1', RECONCILE_FOR: '20s' },
    });
    const { body } = await app.service.send(LOST, { wait: 30 });
    expect(body).toMatchObject({ code: 'delivery_uncertain', message: { status: 'uncertain' } });
    expect(body.detail).toMatch(/Sent Mail could not be searched within/);
  });
});
