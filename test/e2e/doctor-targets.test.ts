import { mkdtempDisposable, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { certificateFor, checkOf, diagnoseWith, listenOn, startTlsServer } from '../helpers/doctor.ts';
import { startEndpoint } from '../helpers/endpoint.ts';
import { run, serveAgainst } from '../helpers/process.ts';
import { hasRedis, startRedis } from '../helpers/redis.ts';
import { API_KEY } from '../helpers/service.ts';
import { simulatorAccount } from '../helpers/smtp/simulator-env.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { makeTemplatesDir } from '../helpers/templates.ts';

const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 'outtray').toString('base64')}`;
const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };

async function report(env: Record<string, string>) {
  await using gmail = await startSimulator();
  return await diagnoseWith(gmail, { env });
}

describe('QUEUE_URL', () => {
  test('skips a queue in memory', async () => {
    expect(checkOf(await report({}), 'queue')).toMatchObject({ status: 'skip', target: 'QUEUE_URL' });
  });

  test('passes with a file that does not exist yet, and does not create it', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
    const { status, detail } = checkOf(
      await report({ QUEUE_URL: `sqlite:${folder.path}/queue.db` }),
      'queue',
    );
    expect({ status, detail }).toEqual({
      status: 'pass',
      detail: `${folder.path}/queue.db does not exist yet, and can be created`,
    });
    expect(await readdir(folder.path)).toEqual([]);
  });

  test('fails with a file in a directory that does not exist, and names it as the first thing to fix', async () => {
    const found = await report({ QUEUE_URL: 'sqlite:/nowhere/queue.db' });
    expect(checkOf(found, 'queue')).toMatchObject({
      status: 'fail',
      advice: expect.stringContaining('the folder /nowhere exists'),
    });
    expect(found.ok).toBe(false);
  });

  test('fails with a file that is not a queue, and leaves it unchanged', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
    await writeFile(join(folder.path, 'notes.txt'), 'These are notes. '.repeat(100));
    const line = checkOf(await report({ QUEUE_URL: `sqlite:${folder.path}/notes.txt` }), 'queue');
    expect(line).toMatchObject({
      status: 'fail',
      detail: expect.stringContaining('is not an SQLite database'),
    });
    expect(await readdir(folder.path)).toEqual(['notes.txt']);
  });

  test('reports the file of a running service as in use, and does not disturb the service', {
    timeout: 60_000,
  }, async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
    await using gmail = await startSimulator();
    const env = { API_KEYS: `crm:${API_KEY}`, QUEUE_URL: `sqlite:${folder.path}/queue.db` };
    await using service = await serveAgainst(gmail, env);
    for (let round = 0; round < 2; round += 1) {
      await using doctor = run(['doctor'], { ...env, ...simulatorAccount(gmail) });
      await doctor.ended;
      expect(doctor.output().out).toMatch(
        /^✓ Queue .*queue\.db is in use by another process: the service, if it is running$/m,
      );
    }
    const response = await fetch(`${service.url}/send`, {
      method: 'POST',
      headers: { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json', prefer: 'wait=20' },
      body: JSON.stringify(HELLO),
    });
    expect(await response.json()).toMatchObject({ status: 'sent' });
    service.signal('SIGTERM');
    expect(await service.ended).toBe(0);
    const { detail } = checkOf(await report({ QUEUE_URL: env.QUEUE_URL }), 'queue');
    expect(detail).toBe(`${folder.path}/queue.db can be read and written`);
    expect(await readdir(folder.path)).toEqual(['queue.db']);
  });

  test.skipIf(!hasRedis)(
    'warns about each Redis setting that may lose mail, fails without Redis, and never prints its password',
    async () => {
      await using redis = await startRedis(['requirepass hunter2hunter2', 'maxmemory-policy allkeys-lru']);
      const QUEUE_URL = `redis://:hunter2hunter2@127.0.0.1:${redis.port}/3`;
      const found = await report({ QUEUE_URL });
      const lines = found.checks
        .filter(({ id }) => id === 'queue')
        .map(({ status, detail }) => [status, detail]);
      expect(lines).toEqual([
        ['pass', `Redis at 127.0.0.1:${redis.port} responds, and its version can be used`],
        ['warn', expect.stringContaining('appendonly no')],
        ['warn', expect.stringContaining('maxmemory-policy allkeys-lru')],
      ]);
      await redis.kill();
      const without = await report({ QUEUE_URL });
      expect(checkOf(without, 'queue')).toMatchObject({ status: 'fail', code: 'redis_unusable' });
      expect(JSON.stringify([found, without])).not.toContain('hunter2');
    },
  );
});

describe('TEMPLATES_DIR', () => {
  test('passes with the number of templates', async () => {
    await using templates = await makeTemplatesDir({
      'welcome/body.html': '<p>{{name}}</p>',
      'welcome/subject.txt': 'Hello',
    });
    const line = checkOf(await report({ TEMPLATES_DIR: templates.dir }), 'templates');
    expect(line).toMatchObject({ status: 'pass', detail: expect.stringContaining('one template in') });
  });

  test('fails with one check for each invalid file', async () => {
    await using templates = await makeTemplatesDir({ 'a/body.html': '{{a', 'b/body.html': '{{#b}}' });
    const lines = (await report({ TEMPLATES_DIR: templates.dir })).checks.filter(
      ({ id }) => id === 'templates',
    );
    expect(lines.map(({ status, detail }) => [status, detail.slice(0, 11)])).toEqual([
      ['fail', 'a/body.html'],
      ['fail', 'b/body.html'],
    ]);
  });
});

describe('WEBHOOK_URL', () => {
  test('passes if the endpoint accepts connections, without making a request', async () => {
    await using endpoint = await startEndpoint();
    const WEBHOOK_URL = `http://127.0.0.1:${endpoint.port}/hooks?token=secret`;
    const found = await report({ WEBHOOK_URL, WEBHOOK_SECRET, WEBHOOK_ALLOWED_HOSTS: '127.0.0.1' });
    expect(checkOf(found, 'webhook')).toMatchObject({
      status: 'pass',
      target: `http://127.0.0.1:${endpoint.port}`,
    });
    expect(endpoint.heard).toEqual([]);
    expect(JSON.stringify(found)).not.toContain('token=secret');
  });

  test.each([
    [
      'a private address',
      'https://crm.test:9/hooks',
      {},
      'resolves to 127.0.0.1, which is not a public address',
    ],
    [
      'a port that refuses',
      'https://crm.test:9/hooks',
      { WEBHOOK_ALLOWED_HOSTS: 'crm.test' },
      'cannot be reached (ECONNREFUSED)',
    ],
  ])('warns about %s, since mail is still sent', async (_, WEBHOOK_URL, env, detail) => {
    const found = await report({ WEBHOOK_URL, WEBHOOK_SECRET, ...env });
    expect(checkOf(found, 'webhook')).toMatchObject({
      status: 'warn',
      detail: expect.stringContaining(detail),
    });
    expect(found.ok).toBe(true);
  });

  test('warns about a certificate that is not trusted', async () => {
    await using server = await startTlsServer(certificateFor(-1, 1));
    const found = await report({
      WEBHOOK_URL: `https://localhost:${server.port}`,
      WEBHOOK_SECRET,
      WEBHOOK_ALLOWED_HOSTS: 'localhost',
    });
    expect(checkOf(found, 'webhook')).toMatchObject({
      status: 'warn',
      detail: expect.stringContaining('SELF_SIGNED'),
    });
  });

  test('checks the endpoint of an API key, too', async () => {
    await using listener = await listenOn('127.0.0.1');
    const key = { name: 'crm', secret: API_KEY, webhook_url: `http://127.0.0.1:${listener.port}/key` };
    const found = await report({
      API_KEYS: JSON.stringify([key]),
      WEBHOOK_SECRET,
      WEBHOOK_ALLOWED_HOSTS: '127.0.0.1',
    });
    expect(checkOf(found, 'webhook')).toMatchObject({
      status: 'pass',
      target: `http://127.0.0.1:${listener.port}`,
    });
  });
});

describe('ALERT_WEBHOOK_URL', () => {
  test('passes if the endpoint accepts connections, without making a request', async () => {
    await using endpoint = await startEndpoint();
    const ALERT_WEBHOOK_URL = `http://127.0.0.1:${endpoint.port}/services/token`;
    const found = await report({ ALERT_WEBHOOK_URL, WEBHOOK_ALLOWED_HOSTS: '127.0.0.1' });
    expect(checkOf(found, 'alert_webhook')).toMatchObject({
      status: 'pass',
      target: `http://127.0.0.1:${endpoint.port}`,
    });
    expect(endpoint.heard).toEqual([]);
    expect(JSON.stringify(found)).not.toContain('token');
  });

  test('warns about a private address, since mail is still sent', async () => {
    const found = await report({ ALERT_WEBHOOK_URL: 'https://crm.test:9/services/token' });
    expect(checkOf(found, 'alert_webhook')).toMatchObject({
      status: 'warn',
      detail: expect.stringContaining('which is not a public address'),
    });
    expect(found.ok).toBe(true);
    expect(JSON.stringify(found)).not.toContain('token');
  });
});

test('skips the checks of invalid variables', async () => {
  const found = await report({
    QUEUE_URL: 'sqlite',
    WEBHOOK_URL: 'crm',
    GMAIL_USER: '',
    TEMPLATES_DIR: '/nowhere',
  });
  expect(checkOf(found, 'queue')).toMatchObject({
    status: 'skip',
    detail: 'not checked: QUEUE_URL is invalid',
  });
  expect(checkOf(found, 'webhook')).toMatchObject({
    status: 'skip',
    detail: 'not checked: WEBHOOK_URL is invalid',
  });
  expect(checkOf(found, 'templates')).toMatchObject({ status: 'fail' });
  expect(found.checks.filter(({ id, status }) => id === 'configuration' && status === 'pass')).toEqual([]);
});
