import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type Running, run, serveAgainst } from '../helpers/process.ts';
import { hasRedis, startRedis } from '../helpers/redis.ts';
import { API_KEY } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { makeTemplatesDir } from '../helpers/templates.ts';

// Each test starts processes.
vi.setConfig({ testTimeout: 60_000 });

const SOON = { timeout: 30_000, interval: 20 };
const KEYS = { API_KEYS: `crm:${API_KEY}` };
const MAIL = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };

function post(url: string, body: unknown): Promise<Response> {
  const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' };
  return fetch(`${url}/send`, { method: 'POST', headers, body: JSON.stringify(body) });
}

/** Sends the signal. Returns the exit code and the seconds until the exit. */
async function stop(
  service: Running,
  name: NodeJS.Signals,
): Promise<{ code: number | null; seconds: number }> {
  const signaledAt = performance.now();
  service.signal(name);
  const code = await service.ended;
  return { code, seconds: (performance.now() - signaledAt) / 1000 };
}

function lineOf(service: Running, msg: string): Record<string, unknown> {
  const line = service
    .output()
    .out.split('\n')
    .find((text) => text.includes(`"msg":"${msg}"`));
  return JSON.parse(line ?? '{}');
}

/**
 * Runs `outtray serve` until it reads a template directory. The read never ends and blocks a thread
 * of Node's pool.
 */
async function startHanging(env: Record<string, string> = {}): Promise<Running> {
  const templates = await makeTemplatesDir({ 'welcome/subject.txt': 'Hello' });
  const fifo = join(templates.dir, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const service = run(['serve'], {
    ...KEYS,
    GMAIL_USER: 'bot@simulator.test',
    GMAIL_APP_PASSWORD: 'abcdefghijklmnop',
    TEMPLATES_DIR: templates.dir,
    NODE_OPTIONS: `--import=${new URL('../helpers/hanging-readdir.ts', import.meta.url)}`,
    FIFO: fifo,
    ...env,
  });
  await expect.poll(() => service.output().err, SOON).toContain('reading');
  return {
    ...service,
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]();
      await templates[Symbol.asyncDispose]();
    },
  };
}

describe('a startup that hangs', () => {
  test('exits within SHUTDOWN_TIMEOUT of the first signal, with code 124, and logs what was unfinished', async () => {
    await using service = await startHanging({ SHUTDOWN_TIMEOUT: '1s' });
    const { code, seconds } = await stop(service, 'SIGTERM');
    expect(code).toBe(124);
    expect(seconds).toBeLessThan(3);
    expect(lineOf(service, 'shutdown timed out')).toMatchObject({ level: 'error', unfinished: ['startup'] });
  });

  test.each([
    ['SIGTERM', 'SIGTERM', 143],
    ['SIGINT', 'SIGTERM', 143],
    ['SIGTERM', 'SIGINT', 130],
  ] as const)('exits at once on %s followed by %s', async (first, second, code) => {
    await using service = await startHanging();
    service.signal(first);
    await expect.poll(() => service.output().err, SOON).toContain(`got ${first}`);
    const ended = await stop(service, second);
    expect(ended.code).toBe(code);
    expect(ended.seconds).toBeLessThan(3);
  });

  test('exits at the first signal while a secret is being read', async () => {
    await using templates = await makeTemplatesDir({});
    const fifo = join(templates.dir, 'keys');
    execFileSync('mkfifo', [fifo]);
    await using service = run(['serve'], { API_KEYS_FILE: fifo });
    // Opening the FIFO for writing waits until the service has opened it for reading.
    const writer = await open(fifo, 'w');
    const { seconds } = await stop(service, 'SIGTERM');
    await writer.close();
    expect(seconds).toBeLessThan(3);
  });
});

test('an unexpected error is logged as fatal without its message, and the process exits with code 1', async () => {
  await using gmail = await startSimulator();
  const script =
    "process.on('SIGUSR2', () => { Promise.reject(new TypeError(['quotes', 'a', 'secret'].join('-'))); });";
  await using service = await serveAgainst(gmail, {
    ...KEYS,
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}`,
  });
  const { code } = await stop(service, 'SIGUSR2');
  expect(code).toBe(1);
  expect(lineOf(service, 'unexpected error')).toMatchObject({
    level: 'fatal',
    err: { type: 'TypeError', stack: expect.stringContaining('at ') },
  });
  expect(service.output().out + service.output().err).not.toContain('quotes-a-secret');
});

test('the end of the database thread is logged as fatal, and the process exits with code 1', async () => {
  await using gmail = await startSimulator();
  const folder = await mkdtemp(join(tmpdir(), 'outtray-thread-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  // The worker threads run the script, too.
  const end = join(folder, 'end');
  const script = `
    import { watchFile } from 'node:fs';
    import { isMainThread, workerData } from 'node:worker_threads';
    if (!isMainThread && workerData?.setup?.file) watchFile('${end}', { interval: 20 }, ({ ino }) => ino && process.exit());`;
  await using service = await serveAgainst(gmail, {
    ...KEYS,
    QUEUE_URL: `sqlite:${join(folder, 'queue.db')}`,
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}`,
  });
  await writeFile(end, '');
  expect(await service.ended).toBe(1);
  expect(lineOf(service, 'queue unavailable; requests are refused')).toMatchObject({
    level: 'error',
    reason: 'the database thread has ended',
  });
  expect(lineOf(service, 'unexpected error')).toMatchObject({
    level: 'fatal',
    err: { type: 'DatabaseThreadError' },
  });
});

describe('a shutdown', () => {
  test.skipIf(!hasRedis)(
    'ends within SHUTDOWN_TIMEOUT while Redis hangs (skipped without redis-server)',
    async () => {
      await using redis = await startRedis();
      await using gmail = await startSimulator();
      await using service = await serveAgainst(gmail, {
        ...KEYS,
        QUEUE_URL: redis.url(),
        SHUTDOWN_TIMEOUT: '4s',
      });
      await post(service.url, { ...MAIL, to: 'slow+60s@simulator.test' });
      await gmail.waitFor(({ transactions }) => transactions.length > 0);
      redis.signal('SIGSTOP');
      const { code, seconds } = await stop(service, 'SIGTERM');
      redis.signal('SIGCONT');
      expect(seconds).toBeLessThan(6);
      expect(code).toBe(0);
    },
  );

  test('ends within SHUTDOWN_TIMEOUT while a client never completes its request', async () => {
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, { ...KEYS, SHUTDOWN_TIMEOUT: '2s' });
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1');
    socket.on('error', () => {});
    socket.write(
      `POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${API_KEY}\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{`,
    );
    await once(socket, 'connect');
    expect((await post(service.url, MAIL)).status).toBe(202);
    const { code, seconds } = await stop(service, 'SIGTERM');
    expect(code).toBe(0);
    expect(seconds).toBeLessThan(4);
    expect(lineOf(service, 'stopped')).toMatchObject({ unfinished: ['HTTP requests'] });
  });
});
