import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { parseLines, readLog, serveLoggingTo } from '../helpers/log-file.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { canMount, openTmpfs } from './disk/limited-disk.ts';

/** The line that reports the number of dropped lines. */
const GAP = { level: 'warn', dropped: expect.any(Number), msg: 'log lines dropped' };
// Each test starts processes.
vi.setConfig({ testTimeout: 60_000 });

const SOON = { timeout: 10_000, interval: 20 };

interface Fifo extends AsyncDisposable {
  readonly path: string;
}

async function makeFifo(): Promise<Fifo> {
  const folder = await mkdtemp(join(tmpdir(), 'outtray-fifo-'));
  const path = join(folder, 'log');
  execFileSync('mkfifo', [path]);
  return { path, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
}

/**
 * Makes requests that are refused, each with a log line of about 350 bytes, while `goOn` returns
 * true.
 */
async function flood(url: string, goOn: (count: number) => boolean): Promise<void> {
  for (let count = 0; goOn(count); count += 50) {
    const paths = Array.from({ length: 50 }, (_, index) => `${url}/${'x'.repeat(150)}${count + index}`);
    await Promise.all(
      paths.map(async (path) => (await fetch(path, { signal: AbortSignal.timeout(30_000) })).arrayBuffer()),
    );
  }
}

test('serve | head: the service keeps running when the reader of its log exits', async () => {
  await using fifo = await makeFifo();
  await using gmail = await startSimulator();
  await using head = readLog('head -n 1', fifo.path);
  await using service = await serveLoggingTo({ gmail, log: fifo.path });
  await service.ready();
  await head.ended;
  for (const to of ['a@example.com', 'b@example.com', 'c@example.com'])
    expect(await service.send(to)).toBe(200);
  expect(gmail.messages).toHaveLength(3);
  service.signal('SIGTERM');
  expect(await service.ended).toBe(0);
});

test('serve | pino-pretty: the service shuts down cleanly on Ctrl-C without its reader', async () => {
  await using fifo = await makeFifo();
  await using gmail = await startSimulator();
  await using reader = readLog('cat', fifo.path);
  await using service = await serveLoggingTo({ gmail, log: fifo.path });
  await service.ready();
  const sending = service.send('slow+500ms@simulator.test');
  await gmail.waitFor(({ transactions }) => transactions.length > 0);
  reader.signal('SIGINT');
  await reader.ended;
  service.signal('SIGINT');
  expect(await service.ended).toBe(0);
  expect(await sending).toBe(202);
  expect(gmail.messages).toMatchObject([{ answered: true }]);
});

test('a restarted log shipper gets the number of missed lines first, and then new lines', async () => {
  await using fifo = await makeFifo();
  await using gmail = await startSimulator();
  await using service = await serveLoggingTo({ gmail, log: fifo.path });
  {
    await using shipper = readLog('cat', fifo.path);
    await expect
      .poll(() => shipper.lines(), SOON)
      .toContainEqual(expect.objectContaining({ msg: 'listening' }));
  }
  // Each message has two lines. All four are dropped while there is no reader.
  expect(await service.send('a@example.com')).toBe(200);
  expect(await service.send('slow+500ms@simulator.test')).toBe(200);
  await using shipper = readLog('cat', fifo.path);
  await expect.poll(() => shipper.lines(), SOON).toEqual([expect.objectContaining({ ...GAP, dropped: 4 })]);
  expect(await service.send('b@example.com')).toBe(200);
  await expect
    .poll(() => shipper.lines().map(({ msg }) => msg), SOON)
    .toEqual(['log lines dropped', 'attempt accepted', 'request']);
  service.signal('SIGTERM');
  expect(await service.ended).toBe(0);
  await shipper.ended;
  expect(shipper.lines().at(-1)).toMatchObject({ msg: 'stopped' });
});

test('the number of missed lines is readable text if LOG_FORMAT is pretty', async () => {
  await using fifo = await makeFifo();
  await using gmail = await startSimulator();
  await using service = await serveLoggingTo({ gmail, log: fifo.path, env: { LOG_FORMAT: 'pretty' } });
  {
    await using shipper = readLog('cat', fifo.path);
    await vi.waitFor(() => expect(shipper.text()).toContain('● listening'), SOON);
  }
  expect(await service.send('a@example.com')).toBe(200);
  expect(await service.send('slow+500ms@simulator.test')).toBe(200);
  await using shipper = readLog('cat', fifo.path);
  await vi.waitFor(
    () => expect(shipper.text()).toMatch(/^\d\d:\d\d:\d\d\.\d{3} ▲ log lines dropped {2}dropped=4\n$/),
    SOON,
  );
  service.signal('SIGTERM');
  expect(await service.ended).toBe(0);
  await shipper.ended;
  expect(shipper.text()).toMatch(/● stopped.*\n$/);
});

test('a stopped reader blocks nothing, and after it continues no line is torn and dropped lines are counted', async () => {
  await using fifo = await makeFifo();
  await using gmail = await startSimulator();
  await using reader = readLog('cat', fifo.path);
  await using service = await serveLoggingTo({ gmail, log: fifo.path });
  await service.ready();
  reader.signal('SIGSTOP');
  const requests = 2000;
  await flood(service.url, (count) => count < requests);
  expect(await service.send('a@example.com')).toBe(200);
  expect(gmail.messages).toHaveLength(1);
  reader.signal('SIGCONT');
  await expect.poll(() => reader.lines().at(-1), SOON).toMatchObject(GAP);
  const dropped = Number(reader.lines().at(-1)?.dropped);
  const refused = reader.lines().filter(({ status }) => status === 404 || status === 429).length;
  expect(dropped + refused).toBeGreaterThanOrEqual(requests);
  expect(await service.send('b@example.com')).toBe(200);
  service.signal('SIGTERM');
  expect(await service.ended).toBe(0);
  await reader.ended;
  expect(reader.lines().at(-1)).toMatchObject({ msg: 'stopped' });
  expect(reader.lines().filter(({ msg }) => msg === GAP.msg)).toHaveLength(1);
});

test('a stopped reader does not delay the exit', async () => {
  await using fifo = await makeFifo();
  await using gmail = await startSimulator();
  await using reader = readLog('cat', fifo.path);
  await using service = await serveLoggingTo({ gmail, log: fifo.path, redirect: '> "$LOG" 2>&1' });
  await service.ready();
  reader.signal('SIGSTOP');
  await flood(service.url, (count) => count < 500);
  const askedAt = performance.now();
  service.signal('SIGTERM');
  expect(await service.ended).toBe(0);
  expect(performance.now() - askedAt).toBeLessThan(5000);
});

test.runIf(canMount)(
  'a full disk drops lines, and the log continues with their number once there is space (skipped where mounting is not permitted)',
  async () => {
    await using room = await openTmpfs();
    await using gmail = await startSimulator();
    const log = join(dirname(room.file), 'log');
    await using service = await serveLoggingTo({ gmail, log, redirect: '>> "$LOG"', under: room.command });
    await service.ready();
    const lines = () => parseLines(readFileSync(`/proc/${service.pid}/root${log}`, 'utf8'));
    await room.fill(service.pid, 0);
    // The last page of the log may have space for a few lines.
    await flood(service.url, (count) => count < 100);
    expect(await service.send('a@example.com')).toBe(200);
    expect(gmail.messages).toHaveLength(1);
    await room.free(service.pid);
    await expect.poll(() => lines().at(-1), SOON).toMatchObject(GAP);
    expect(await service.send('b@example.com')).toBe(200);
    await expect.poll(() => lines().at(-1), SOON).toMatchObject({ msg: 'request', status: 200 });
    service.signal('SIGTERM');
    expect(await service.ended).toBe(0);
  },
);

test('a device that accepts nothing (/dev/full) blocks nothing', async () => {
  await using gmail = await startSimulator();
  await using service = await serveLoggingTo({ gmail, log: '/dev/full', redirect: '> "$LOG" 2>&1' });
  await service.ready();
  expect(await service.send('a@example.com')).toBe(200);
  expect(gmail.messages).toHaveLength(1);
  service.signal('SIGTERM');
  expect(await service.ended).toBe(0);
});
