import { mkdtempDisposable, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { certificateFor, diagnoseWith, lineOf, listenOn, startTlsServer } from '../helpers/doctor.ts';
import { startEndpoint } from '../helpers/endpoint.ts';
import { run, serveAgainst } from '../helpers/process.ts';
import { hasRedis, startRedis } from '../helpers/redis.ts';
import { API_KEY } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { makeTemplatesDir } from '../helpers/templates.ts';

const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 'outtray').toString('base64')}`;
const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };

async function report(env: Record<string, string>) {
  await using gmail = await startSimulator();
  return await diagnoseWith(gmail, { env });
}

describe('QUEUE_URL', () => {
  test('in memory has nothing to check', async () => {
    expect(lineOf(await report({}), 'queue')).toMatchObject({ status: 'skip', target: 'QUEUE_URL' });
  });

  test('that names a file which does not exist yet passes, and creates none', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
    const { status, detail } = lineOf(await report({ QUEUE_URL: `sqlite:${folder.path}/queue.db` }), 'queue');
    expect({ status, detail }).toEqual({
      status: 'pass',
      detail: `${folder.path}/queue.db does not exist yet, and can be created`,
    });
    expect(await readdir(folder.path)).toEqual([]);
  });

  test('that names a file in a folder which does not exist fails, and is the thing to do first', async () => {
    const found = await report({ QUEUE_URL: 'sqlite:/nowhere/queue.db' });
    expect(lineOf(found, 'queue')).toMatchObject({
      status: 'fail',
      advice: expect.stringContaining('the folder /nowhere exists'),
    });
    expect(found.ok).toBe(false);
  });

  test('that names a file of another kind fails, and leaves it as it was', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
    await writeFile(join(folder.path, 'notes.txt'), 'These are notes. '.repeat(100));
    const line = lineOf(await report({ QUEUE_URL: `sqlite:${folder.path}/notes.txt` }), 'queue');
    expect(line).toMatchObject({
      status: 'fail',
      detail: expect.stringContaining('is not an SQLite database'),
    });
    expect(await readdir(folder.path)).toEqual(['notes.txt']);
  });

  test('that names the file of a running service says so, and takes nothing from the service', {
    timeout: 60_000,
  }, async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
    await using gmail = await startSimulator();
    const env = { API_KEYS: `crm:${API_KEY}`, QUEUE_URL: `sqlite:${folder.path}/queue.db` };
    await using service = await serveAgainst(gmail, env);
    for (let round = 0; round < 2; round += 1) {
      await using doctor = run(['doctor'], {
        ...env,
        GMAIL_USER: gmail.user,
        GMAIL_APP_PASSWORD: gmail.password,
        SMTP_URL: gmail.url,
      });
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
    const { detail } = lineOf(await report({ QUEUE_URL: env.QUEUE_URL }), 'queue');
    expect(detail).toBe(`${folder.path}/queue.db can be read and written`);
    expect(await readdir(folder.path)).toEqual(['queue.db']);
  });

  test.skipIf(!hasRedis)(
    'of Redis has a line for each setting that may lose mail, and fails without Redis, never with its password',
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
      expect(lineOf(without, 'queue')).toMatchObject({ status: 'fail', code: 'redis_unusable' });
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
    const line = lineOf(await report({ TEMPLATES_DIR: templates.dir }), 'templates');
    expect(line).toMatchObject({ status: 'pass', detail: expect.stringContaining('one template in') });
  });

  test('fails with a line for each file that is wrong', async () => {
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
  test('passes if a connection can be made, and gets no request', async () => {
    await using endpoint = await startEndpoint();
    const WEBHOOK_URL = `http://127.0.0.1:${endpoint.port}/hooks?token=secret`;
    const found = await report({ WEBHOOK_URL, WEBHOOK_SECRET, WEBHOOK_ALLOWED_HOSTS: '127.0.0.1' });
    expect(lineOf(found, 'webhook')).toMatchObject({
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
  ])('with %s is a warning, since mail is sent all the same', async (_, WEBHOOK_URL, env, detail) => {
    const found = await report({ WEBHOOK_URL, WEBHOOK_SECRET, ...env });
    expect(lineOf(found, 'webhook')).toMatchObject({
      status: 'warn',
      detail: expect.stringContaining(detail),
    });
    expect(found.ok).toBe(true);
  });

  test('with a certificate that is not trusted is a warning', async () => {
    await using server = await startTlsServer(certificateFor(-1, 1));
    const found = await report({
      WEBHOOK_URL: `https://localhost:${server.port}`,
      WEBHOOK_SECRET,
      WEBHOOK_ALLOWED_HOSTS: 'localhost',
    });
    expect(lineOf(found, 'webhook')).toMatchObject({
      status: 'warn',
      detail: expect.stringContaining('SELF_SIGNED'),
    });
  });

  test('of a key is looked at, too', async () => {
    await using listener = await listenOn('127.0.0.1');
    const key = { name: 'crm', secret: API_KEY, webhook_url: `http://127.0.0.1:${listener.port}/key` };
    const found = await report({
      API_KEYS: JSON.stringify([key]),
      WEBHOOK_SECRET,
      WEBHOOK_ALLOWED_HOSTS: '127.0.0.1',
    });
    expect(lineOf(found, 'webhook')).toMatchObject({
      status: 'pass',
      target: `http://127.0.0.1:${listener.port}`,
    });
  });
});

test('what a wrong variable names is not claimed to be right', async () => {
  const found = await report({
    QUEUE_URL: 'sqlite',
    WEBHOOK_URL: 'crm',
    GMAIL_USER: '',
    TEMPLATES_DIR: '/nowhere',
  });
  expect(lineOf(found, 'queue')).toMatchObject({ status: 'skip', detail: 'not checked: QUEUE_URL is wrong' });
  expect(lineOf(found, 'webhook')).toMatchObject({
    status: 'skip',
    detail: 'not checked: WEBHOOK_URL is wrong',
  });
  expect(lineOf(found, 'templates')).toMatchObject({ status: 'fail' });
  expect(found.checks.filter(({ id, status }) => id === 'configuration' && status === 'pass')).toEqual([]);
});
