import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import type { MessageResource } from '../../src/http/schemas/message.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { fileOf } from '../helpers/config.ts';
import { hasImapDovecot, startImapDovecot } from '../helpers/imap/dovecot.ts';
import { followed, reportAbout, WAIT, watched } from '../helpers/imap/inbound-service.ts';
import { writesOf } from '../helpers/imap/mailbox.ts';
import { twoInstances } from '../helpers/imap/two-instances.ts';
import { hasRedis, startRedis } from '../helpers/redis.ts';
import { API_KEY, APP_PASSWORD, type ServiceSetup, startService } from '../helpers/service.ts';
import { accountsOf } from '../helpers/smtp/gmail.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const USER = 'bot@simulator.test';
const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };
const BOUNCED = { status: 'sent', bounced: true, follow_ups: [{ kind: 'bounced' }] };
const TIMEOUT_MS = 60_000;

/** A simulator, and a service that can be started again on the data that it left. */
async function openTestBed() {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'outtray-inbound-'));
  stack.defer(() => rm(folder, { recursive: true }));
  const gmail = stack.use(await startSimulator({ user: USER, password: APP_PASSWORD }));
  const base = { INBOUND: 'replies', IMAP_URL: gmail.imap.url };
  const file = `sqlite:${join(folder, 'outtray.db')}`;
  const kept = stack.move();
  return {
    gmail,
    folder,
    sqlite: { QUEUE_URL: file },
    use: <Resource extends AsyncDisposable>(resource: Resource) => kept.use(resource),
    start: (env: Record<string, string> = {}, setup: Partial<ServiceSetup> = {}) =>
      startService({ smtp: gmail.url, ca: gmail.ca, ...setup, env: { ...base, ...env } }),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

function oauthOf({ oauth }: Simulator) {
  return {
    GMAIL_APP_PASSWORD: '',
    GMAIL_OAUTH_CLIENT_ID: oauth.clientId,
    GMAIL_OAUTH_CLIENT_SECRET: oauth.clientSecret,
    GMAIL_OAUTH_REFRESH_TOKEN: oauth.refreshToken,
    GMAIL_OAUTH_TOKEN_URL: oauth.tokenUrl,
  };
}

describe.concurrent('with INBOUND, a service', { timeout: TIMEOUT_MS }, () => {
  test('reads after a restart what came meanwhile, and records a waiting bounce', async () => {
    await using bed = await openTestBed();
    const first = await bed.start(bed.sqlite);
    await watched(bed);
    const [known, sent, later] = await Promise.all([
      first.send(HELLO, { wait: 20 }),
      first.send(HELLO, { wait: 20 }),
      first.send({ ...HELLO, scheduled_at: new Date(Date.now() + 2000).toISOString() }),
    ]);
    bed.gmail.imap.deliver(reportAbout(later.body.message_id));
    bed.gmail.imap.deliver(reportAbout(known.body.message_id));
    await followed(first, known.body.id);
    await first.close();
    bed.gmail.imap.deliver(reportAbout(sent.body.message_id));
    await using second = await bed.start(bed.sqlite);
    for (const { body } of [sent, later]) expect(await followed(second, body.id)).toMatchObject(BOUNCED);
    expect(await second.get(known.body.id)).toMatchObject(BOUNCED);
    expect(writesOf(bed.gmail)).toEqual([]);
  });

  test('finds a report that a filter has moved, by the search of all mail', async () => {
    await using bed = await openTestBed();
    const first = await bed.start({ ...bed.sqlite, INBOUND: 'off' });
    const { body } = await first.send(HELLO, { wait: 20 });
    await first.close();
    bed.gmail.imap.deliver(reportAbout(body.message_id), { folder: 'all' });
    await using second = await bed.start(bed.sqlite);
    expect(await followed(second, body.id)).toMatchObject(BOUNCED);
  });

  test('in memory, starts without the mail of a service before it', async () => {
    await using bed = await openTestBed();
    const first = await bed.start();
    await watched(bed);
    const { body } = await first.send(HELLO, { wait: 20 });
    bed.gmail.imap.deliver(reportAbout(body.message_id));
    await followed(first, body.id);
    await first.close();
    await using second = await bed.start({ LOG_LEVEL: 'debug' });
    await vi.waitFor(
      () => expect(second.logs).toContainEqual(expect.objectContaining({ reason: 'unknown_message' })),
      WAIT,
    );
    expect((await second.send(HELLO)).status).toBe(202);
  });

  test('logs a hard bounce of a message that is no longer stored, and suppresses its recipient', async () => {
    await using bed = await openTestBed();
    await using service = await bed.start({ RETAIN: '2s' });
    await watched(bed);
    const { body } = await service.send(HELLO, { wait: 20 });
    await vi.waitFor(
      async () => expect((await service.request(`/messages/${body.id}`)).status).toBe(404),
      WAIT,
    );
    bed.gmail.imap.deliver(reportAbout(body.message_id));
    await vi.waitFor(async () => expect((await service.send(HELLO)).status).toBe(422), WAIT);
    expect(service.logs).toContainEqual(
      expect.objectContaining({
        msg_id: body.id,
        class: 'hard',
        msg: expect.stringContaining('no longer stored'),
      }),
    );
  });

  test('goes on with another token once that of the connection has expired', async () => {
    await using bed = await openTestBed();
    const { gmail } = bed;
    gmail.oauth.setLifetime(2);
    await using service = await bed.start(oauthOf(gmail));
    await gmail.waitFor(({ imap }) => imap.counters.logins > 1 && imap.idleSessions === 1);
    const to = 'bounces-later+10ms@simulator.test';
    const { body } = await service.send({ ...HELLO, to }, { wait: 20 });
    expect(await followed(service, body.id)).toMatchObject(BOUNCED);
    expect(gmail.imap.counters.failedLogins).toBe(0);
    expect(service.logs.filter(({ msg }) => msg === 'inbox could not be read')).toEqual([]);
  });

  test('follows accounts as they are added, removed and get another password by a reload', async () => {
    const [bot, sales] = [USER, 'sales@simulator.test'].map((user) => ({ user, app_password: APP_PASSWORD }));
    using file = fileOf(JSON.stringify([{ ...bot, app_password: 'wrongwrongwrongw' }]));
    await using bed = await openTestBed();
    const { gmail } = bed;
    const env = { GMAIL_USER: '', GMAIL_APP_PASSWORD: '', GMAIL_ACCOUNTS_FILE: file.path };
    // A refused login is tried again after 15 minutes.
    await using service = await bed.start(env, { backoffScale: 1 });
    await gmail.waitFor(({ imap }) => imap.counters.failedLogins === 1);
    file.write(JSON.stringify([bot]));
    await service.reload();
    await gmail.waitFor(({ imap }) => imap.idleSessions === 1);
    file.write(JSON.stringify([bot, sales]));
    await service.reload();
    await gmail.waitFor(({ imap }) => imap.idleSessions === 2);
    file.write(JSON.stringify([sales]));
    await service.reload();
    await gmail.waitFor(({ imap }) => imap.sessions === 1);
    const message = { ...HELLO, from: 'sales@simulator.test', to: 'bounces-later+10ms@simulator.test' };
    const { body } = await service.send(message, { wait: 20 });
    expect(await followed(service, body.id)).toMatchObject(BOUNCED);
  });

  test('logs in again at a reload without a change, once IMAP is allowed', async () => {
    await using bed = await openTestBed();
    const { gmail } = bed;
    gmail.imap.setLoginFault('imap-off-by-admin', 1);
    // A refused login is tried again after 15 minutes.
    await using service = await bed.start({}, { backoffScale: 1 });
    const mailbox = async () => (await accountsOf(service))[0]?.mailbox;
    await vi.waitFor(
      async () => expect(await mailbox()).toEqual({ status: 'refused', code: 'imap_disabled' }),
      WAIT,
    );
    await service.reload();
    await watched(bed);
    await vi.waitFor(async () => expect(await mailbox()).toEqual({ status: 'ready', code: null }), WAIT);
  });
});

describe.skipIf(!hasRedis)(
  'instances that share an inbox (with redis-server)',
  { timeout: TIMEOUT_MS },
  () => {
    test('hand it over when its holder ends, without waiting for its lease to expire', async () => {
      await using bed = await openTestBed();
      const redis = bed.use(await startRedis());
      const env = { QUEUE_URL: redis.url() };
      const holder = await bed.start(env);
      await watched(bed);
      await using other = await bed.start(env);
      expect((await other.send(HELLO, { wait: 20 })).body.status).toBe('sent');
      const endedAt = performance.now();
      await holder.close();
      await bed.gmail.waitFor(({ imap }) => imap.counters.connections === 2 && imap.idleSessions === 1);
      // A lease expires after 15 s.
      expect(performance.now() - endedAt).toBeLessThan(8000);
    });

    test('log in again when each was reloaded, once IMAP is allowed', async () => {
      await using bed = await openTestBed();
      const { gmail } = bed;
      const redis = bed.use(await startRedis());
      const env = { QUEUE_URL: redis.url() };
      // A refused login is tried again after 15 minutes.
      await using holder = await bed.start(env, { backoffScale: 1 });
      await watched(bed);
      await using other = await bed.start(env, { backoffScale: 1 });
      gmail.imap.setLoginFault('imap-off-by-admin', 1);
      gmail.imap.closeConnections();
      const shows = (status: string) =>
        vi.waitFor(async () => expect((await accountsOf(other))[0]?.mailbox).toMatchObject({ status }), WAIT);
      await shows('refused');
      await other.reload();
      await shows('ready');
      await holder.reload();
      await watched(bed);
    });

    test('watch it one at a time, and another goes on when its holder is killed', async () => {
      await using bed = await openTestBed();
      const { gmail, folder } = bed;
      const env = { INBOUND: 'bounces', SUPPRESS: 'never' };
      const setup = { gmail, user: USER, env, absentAfterMs: 1000, folder };
      const [holder, other] = await twoInstances(bed, setup);
      await holder.start();
      await watched(bed);
      await other.start();
      const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' };
      const call = async (path: string, init: RequestInit = {}) =>
        (await fetch(`${other.url}${path}`, { headers, ...init })).json() as Promise<MessageResource>;
      const sendAndBounce = async () => {
        const to = 'bounces-later+10ms@simulator.test';
        const { id } = await call('/send', { method: 'POST', body: JSON.stringify({ ...HELLO, to }) });
        await vi.waitFor(async () => expect(await call(`/messages/${id}`)).toMatchObject(BOUNCED), WAIT);
      };
      await sendAndBounce();
      expect(gmail.imap.counters.connections).toBe(1);
      await holder.kill();
      await gmail.waitFor(({ imap }) => imap.counters.connections === 2 && imap.idleSessions === 1);
      await sendAndBounce();
      expect(gmail.imap.sessions).toBe(1);
    });
  },
);

describe.skipIf(!hasImapDovecot)(
  'with INBOUND and Dovecot (skipped without dovecot 2.3 and its imapd, and if not root)',
  { timeout: TIMEOUT_MS },
  () => {
    test('a bounce is recorded, and its report stays new', async () => {
      await using bed = await openTestBed();
      const dovecot = bed.use(await startImapDovecot());
      const ca = `${bed.gmail.ca}${dovecot.ca}`;
      await using service = await bed.start({ IMAP_URL: dovecot.url }, { ca });
      const { body } = await service.send(HELLO, { wait: 20 });
      await dovecot.deliver(USER, reportAbout(body.message_id));
      expect(await followed(service, body.id)).toMatchObject(BOUNCED);
      expect(await dovecot.flagsOf(USER)).toEqual([[]]);
    });
  },
);
