import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import type { AccountResource } from '../../src/http/schemas/account.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { fileOf } from '../helpers/config.ts';
import { type Running, run, serveAgainst } from '../helpers/process.ts';
import { hasRedis, startRedis } from '../helpers/redis.ts';
import { ADMIN_KEY, API_KEY, APP_PASSWORD } from '../helpers/service.ts';
import { createSimulatorEnv } from '../helpers/smtp/simulator-env.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const BOT = { user: 'bot@acme.test', app_password: APP_PASSWORD };
const SALES = { user: 'sales@acme.test', app_password: APP_PASSWORD };
const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };

type Served = Running & { readonly url: string };

interface Answer {
  readonly status: number;
  readonly body: { readonly id: string; readonly accounts: readonly AccountResource[] };
}

async function call(
  service: Served,
  path: string,
  body?: object,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(service.url + path, {
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json', ...headers },
    ...(body && { method: 'POST', body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

async function send(service: Served, from: string, wait = 20) {
  return call(service, '/send', { ...HELLO, from }, { prefer: `wait=${wait}` });
}

async function accountsOf(service: Served): Promise<readonly AccountResource[]> {
  return (await call(service, '/accounts')).body.accounts;
}

/** Resolves when the message has this status. */
function becomes(service: Served, id: string, status: string): Promise<void> {
  return vi.waitFor(async () => {
    expect((await call(service, `/messages/${id}`)).body).toMatchObject({ status });
  }, 20_000);
}

/** Sends SIGHUP, and resolves with the next log line of this message. */
async function reload(service: Served, message: string): Promise<Record<string, unknown>> {
  const pattern = new RegExp(`^\\{.*"msg":"${message}.*\\}$`, 'gm');
  const count = () => service.output().out.match(pattern)?.length ?? 0;
  const before = count();
  service.signal('SIGHUP');
  await vi.waitFor(() => expect(count()).toBeGreaterThan(before), 20_000);
  return JSON.parse(service.output().out.match(pattern)?.at(-1) ?? '');
}

function serve(gmail: Simulator, env: Record<string, string>): Promise<Served> {
  const keys = `crm:${API_KEY},boss:${ADMIN_KEY}:admin`;
  const account = { GMAIL_USER: '', GMAIL_APP_PASSWORD: '' };
  return serveAgainst(gmail, { API_KEYS: keys, ...account, ...env });
}

describe('on SIGHUP, outtray serve with GMAIL_ACCOUNTS_FILE', { timeout: 90_000 }, () => {
  test('starts to send with an added account, and stops with a removed one', async () => {
    using file = fileOf(JSON.stringify([BOT]));
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    await using service = await serve(gmail, { GMAIL_ACCOUNTS_FILE: file.path });
    expect((await send(service, SALES.user)).body).toMatchObject({ code: 'sender_not_allowed' });

    file.write(JSON.stringify([SALES, BOT]));
    expect(await reload(service, 'accounts reloaded')).toMatchObject({
      level: 'info',
      accounts: [SALES.user, BOT.user],
      added: [SALES.user],
      removed: [],
      changed: [],
    });
    expect((await send(service, SALES.user)).body).toMatchObject({ status: 'sent' });
    // The first is the default.
    expect((await call(service, '/send', HELLO, { prefer: 'wait=20' })).body).toMatchObject({
      from: { email: SALES.user },
      status: 'sent',
    });

    file.write(JSON.stringify([SALES]));
    expect(await reload(service, 'accounts reloaded')).toMatchObject({ removed: [BOT.user] });
    expect((await send(service, BOT.user)).body).toMatchObject({ code: 'sender_not_allowed' });
    expect(await accountsOf(service)).toMatchObject([{ user: SALES.user }]);
    expect((await call(service, `/accounts/${BOT.user}/verify`, {})).status).toBe(404);
    service.signal('SIGTERM');
    expect(await service.ended).toBe(0);
  });

  test('keeps the messages of a removed account, and sends them once it is back', async () => {
    using file = fileOf(JSON.stringify([BOT, SALES]));
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    await using service = await serve(gmail, { GMAIL_ACCOUNTS_FILE: file.path });
    gmail.setLoginFault('bad-credentials');
    const { body } = await send(service, SALES.user);
    expect(body).toMatchObject({ status: 'deferred', error: { code: 'bad_credentials' } });

    file.write(JSON.stringify([BOT]));
    await reload(service, 'accounts reloaded');
    gmail.setLoginFault(null);
    expect((await send(service, BOT.user)).body).toMatchObject({ status: 'sent' });
    expect((await call(service, `/messages/${body.id}`)).body).toMatchObject({ status: 'deferred' });

    file.write(JSON.stringify([BOT, SALES]));
    await reload(service, 'accounts reloaded');
    await call(service, `/accounts/${SALES.user}/verify`, {});
    await becomes(service, body.id, 'sent');
    expect(gmail.messages.filter(({ user }) => user === SALES.user)).toHaveLength(1);
  });

  test('treats the messages of a removed account as a restart without it does', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'outtray-'));
    await using _removed = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
    using file = fileOf(JSON.stringify([BOT, SALES]));
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    const env = { GMAIL_ACCOUNTS_FILE: file.path, QUEUE_URL: `sqlite:${join(folder, 'queue')}` };
    gmail.setLoginFault('bad-credentials', 1);
    let id = '';
    {
      await using service = await serve(gmail, env);
      const { body } = await call(service, '/send', { ...HELLO, from: SALES.user }, { prefer: 'wait=20' });
      expect(body).toMatchObject({ status: 'deferred' });
      id = body.id;
    }
    file.write(JSON.stringify([BOT]));
    await using service = await serve(gmail, env);
    expect((await send(service, BOT.user)).body).toMatchObject({ status: 'sent' });
    expect((await call(service, `/messages/${id}`)).body).toMatchObject({
      status: 'deferred',
      account: SALES.user,
    });
    file.write(JSON.stringify([BOT, SALES]));
    await reload(service, 'accounts reloaded');
    await call(service, `/accounts/${SALES.user}/verify`, {});
    await becomes(service, id, 'sent');
    expect(gmail.messages).toHaveLength(2);
  });

  test('lets the attempt of a removed account end', async () => {
    using file = fileOf(JSON.stringify([BOT, SALES]));
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    await using service = await serve(gmail, { GMAIL_ACCOUNTS_FILE: file.path });
    const { body } = await call(service, '/send', {
      ...HELLO,
      from: SALES.user,
      to: 'slow+1s@simulator.test',
    });
    await gmail.waitFor(({ transactions }) => transactions.length === 1);
    file.write(JSON.stringify([BOT]));
    await reload(service, 'accounts reloaded');
    await becomes(service, body.id, 'sent');
    expect(gmail.messages).toHaveLength(1);
  });

  test('sends what waited for a higher limit', async () => {
    using file = fileOf(JSON.stringify([{ ...BOT, daily_messages: 2, reserve: '0%' }]));
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    await using service = await serve(gmail, { GMAIL_ACCOUNTS_FILE: file.path });
    for (const _ of [1, 2]) expect((await send(service, BOT.user)).body).toMatchObject({ status: 'sent' });
    const { body } = await send(service, BOT.user);
    expect(body).toMatchObject({ status: 'deferred', error: { code: 'daily_limit_reached' } });

    file.write(JSON.stringify([{ ...BOT, daily_messages: 3, reserve: '0%' }]));
    expect(await reload(service, 'accounts reloaded')).toMatchObject({ changed: [BOT.user] });
    await becomes(service, body.id, 'sent');
    expect(await accountsOf(service)).toMatchObject([{ quota: { messages: { limit: 3, used: 3 } } }]);
    expect((await send(service, BOT.user)).body).toMatchObject({ status: 'deferred' });
  });

  test('applies changed aliases and the default From', async () => {
    using file = fileOf(JSON.stringify([BOT]));
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    await using service = await serve(gmail, { GMAIL_ACCOUNTS_FILE: file.path });
    expect((await send(service, 'help@acme.test')).status).toBe(403);
    file.write(JSON.stringify([{ ...BOT, aliases: ['help@acme.test'], from: 'Help <help@acme.test>' }]));
    await reload(service, 'accounts reloaded');
    expect((await call(service, '/send', HELLO, { prefer: 'wait=20' })).body).toMatchObject({
      from: { email: 'help@acme.test', name: 'Help' },
      status: 'sent',
    });
  });

  test('logs in with a changed password, and closes the connections of the former one', async () => {
    using file = fileOf(JSON.stringify([BOT]));
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    await using service = await serve(gmail, { GMAIL_ACCOUNTS_FILE: file.path });
    expect((await send(service, BOT.user)).body).toMatchObject({ status: 'sent' });
    gmail.setPassword('ponmlkjihgfedcba');
    // The open connection goes on with the login that it has.
    expect((await send(service, BOT.user)).body).toMatchObject({ status: 'sent' });
    expect(gmail.counters.logins).toBe(1);

    file.write(JSON.stringify([{ ...BOT, app_password: 'ponmlkjihgfedcba' }]));
    expect(await reload(service, 'accounts reloaded')).toMatchObject({ changed: [BOT.user] });
    expect((await send(service, BOT.user)).body).toMatchObject({ status: 'sent' });
    expect(gmail.counters).toMatchObject({ logins: 2, failedLogins: 0 });
  });

  test('sends at once what waited for a password that is corrected', async () => {
    using file = fileOf(JSON.stringify([{ ...BOT, app_password: 'wrongwrongwrongw' }]));
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    await using service = await serve(gmail, { GMAIL_ACCOUNTS_FILE: file.path });
    const { body } = await send(service, BOT.user);
    expect(body).toMatchObject({ status: 'deferred', error: { code: 'bad_credentials' } });
    file.write(JSON.stringify([BOT]));
    await reload(service, 'accounts reloaded');
    await becomes(service, body.id, 'sent');
    expect(await accountsOf(service)).toMatchObject([{ status: 'ready' }]);
  });

  test('keeps everything and logs every problem if one account is invalid', async () => {
    using keys = fileOf(`crm:${API_KEY},boss:${ADMIN_KEY}:admin`);
    using file = fileOf(JSON.stringify([BOT]));
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    const env = { API_KEYS: '', API_KEYS_FILE: keys.path, GMAIL_ACCOUNTS_FILE: file.path };
    await using service = await serve(gmail, env);
    keys.write(`boss:${ADMIN_KEY}:admin`);
    file.write(JSON.stringify([{ ...SALES, aliases: ['not an address'] }, { user: 'x@acme.test' }]));
    const line = await reload(service, 'reload failed; keeping the previous keys and accounts');
    expect(line).toMatchObject({
      level: 'error',
      problems: [
        expect.stringMatching(/^GMAIL_ACCOUNTS_FILE: Account 1: aliases: Alias 1: /),
        expect.stringMatching(/^GMAIL_ACCOUNTS_FILE: Account 2: app_password: It is required/),
      ],
    });
    expect(await accountsOf(service)).toMatchObject([{ user: BOT.user }]);
    const own = { authorization: `Bearer ${API_KEY}` };
    expect((await fetch(`${service.url}/accounts`, { headers: own })).status).toBe(200);
    expect((await send(service, BOT.user)).body).toMatchObject({ status: 'sent' });
    expect(service.output().out).not.toContain(APP_PASSWORD);

    file.write(JSON.stringify([SALES]));
    await reload(service, 'accounts reloaded');
    expect(await accountsOf(service)).toMatchObject([{ user: SALES.user }]);
    expect((await fetch(`${service.url}/accounts`, { headers: own })).status).toBe(401);
  });
});

describe('reloads under load', { timeout: 90_000 }, () => {
  async function check(env: Record<string, string>): Promise<void> {
    using file = fileOf(JSON.stringify([BOT, SALES]));
    await using gmail = await startSimulator({ password: APP_PASSWORD, retain: 5000 });
    await using service = await serve(gmail, { GMAIL_ACCOUNTS_FILE: file.path, ...env });
    const ids: string[] = [];
    let isLoaded = true;
    const clients = [BOT, SALES, BOT, SALES].map(async ({ user }) => {
      while (isLoaded) {
        const { status, body } = await call(service, '/send', { ...HELLO, from: user });
        if (status === 202) ids.push(body.id);
        else expect(status).toBe(403);
      }
    });
    for (let i = 0; i < 6; i++) {
      file.write(JSON.stringify(i % 2 === 0 ? [BOT] : [BOT, { ...SALES, daily_messages: 5000 + i }]));
      await reload(service, 'accounts reloaded');
      const before = ids.length;
      await vi.waitFor(() => expect(ids.length).toBeGreaterThan(before + 10), 20_000);
    }
    isLoaded = false;
    await Promise.all(clients);
    for (const id of ids) await becomes(service, id, 'sent');
    expect(gmail.messages).toHaveLength(ids.length);
  }

  test('lose no message and send none twice', () => check({ GMAIL_DAILY_MESSAGES: '5000' }));

  test.skipIf(!hasRedis)('lose no message on Redis', async () => {
    await using redis = await startRedis();
    await check({ GMAIL_DAILY_MESSAGES: '5000', QUEUE_URL: redis.url() });
  });
});

describe('on SIGHUP, outtray serve with a .env file', { timeout: 90_000 }, () => {
  test('reads accounts again, and names changed variables that need a restart', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'outtray-'));
    await using _removed = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
    await using gmail = await startSimulator({ password: APP_PASSWORD });
    await using simulator = await createSimulatorEnv(gmail);
    const { SMTP_URL, NODE_EXTRA_CA_CERTS } = simulator.env;
    const write = (settings: Record<string, string>) =>
      writeFile(
        join(folder, '.env'),
        Object.entries(settings)
          .map(([name, value]) => `${name}=${value}\n`)
          .join(''),
      );
    const settings = {
      PORT: '0',
      API_KEYS: `boss:${ADMIN_KEY}:admin`,
      GMAIL_USER: BOT.user,
      GMAIL_APP_PASSWORD: APP_PASSWORD,
      SMTP_URL,
    };
    await write(settings);
    await using running = run(['serve'], { NODE_EXTRA_CA_CERTS }, folder);
    const [, url = ''] = await running.saw(/"url":"(http:[^"]+)"/);
    const service = { ...running, url };

    await write({
      ...settings,
      API_KEYS: `crm:${API_KEY},boss:${ADMIN_KEY}:admin`,
      GMAIL_USER: SALES.user,
      GMAIL_ALIASES: 'help@acme.test',
      SMTP_RATE: '7',
    });
    expect(await reload(service, 'changed variables take effect')).toMatchObject({
      level: 'warn',
      variables: ['SMTP_RATE'],
    });
    expect(running.output().out).toMatch(/"api_keys":2,.*"msg":"API keys reloaded"/);
    expect(await accountsOf(service)).toMatchObject([{ user: SALES.user }]);
    expect((await send(service, 'help@acme.test')).body).toMatchObject({ status: 'sent' });

    // A password that only another SMTP_URL would make superfluous stays required.
    const { GMAIL_APP_PASSWORD: _, ...without } = settings;
    await write({ ...without, SMTP_URL: 'smtp://smtp-relay.gmail.com?login=none' });
    expect(await reload(service, 'reload failed')).toMatchObject({
      problems: [expect.stringMatching(/^GMAIL_APP_PASSWORD: It is required/)],
    });
    expect(await accountsOf(service)).toMatchObject([{ user: SALES.user }]);

    await writeFile(join(folder, '.env'), '\0');
    expect(await reload(service, 'reload failed')).toMatchObject({
      problems: [expect.stringMatching(/\.env is not UTF-8 text/)],
    });
  });
});
