import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type AppUnderTest, CRM, CRM_SECRET, exchange, MAIL, SHOP, startApp } from '../helpers/app.ts';

const KIB = 1024;
/**
 * Capacity for two bodies of maximum size, slightly over 1 MiB each: half of it for each of two
 * keys.
 */
const SMALL = { maxMessageBytes: 1, freeBytes: () => 0 };
const FULL_SIZE = 1024 * KIB;

/** A valid body of this many bytes. */
function bodyOf(bytes: number): string {
  const mail = { ...MAIL, text: '' };
  return JSON.stringify({ ...mail, text: 'x'.repeat(bytes - JSON.stringify(mail).length) });
}

function post(app: AppUnderTest, bytes: number, headers: Record<string, string> = {}) {
  return app.send(bodyOf(bytes), headers);
}

/**
 * Sends a request except for the last byte of its body. Resolves once the server has read the rest.
 */
async function begin(
  app: AppUnderTest,
  bytes: number,
  options: { path?: string; headers?: string; secret?: string } = {},
): Promise<Socket> {
  const { path = '/send', headers = '', secret = CRM_SECRET } = options;
  const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${secret}\r\nContent-Type: application/json\r\n${headers}`;
  return write(app, `${head}Content-Length: ${bytes}\r\n\r\n${bodyOf(bytes).slice(0, -1)}`);
}

async function write(app: AppUnderTest, text: string): Promise<Socket> {
  const { server } = app.app;
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {});
  onTestFinished(() => void client.destroy());
  const [accepted] = (await once(server, 'connection')) as [Socket];
  client.write(text);
  await expect
    .poll(() => accepted.bytesRead, { interval: 5, timeout: 10_000 })
    .toBeGreaterThanOrEqual(text.length);
  return client;
}

async function answerOf(socket: Socket): Promise<string> {
  const [first] = await once(socket, 'data');
  return String(first);
}

describe('slow uploads of one key', () => {
  test('are refused beyond its share with 503 and Retry-After, while earlier ones can finish', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    await begin(app, FULL_SIZE - 10 * KIB);
    expect((await post(app, 100 * KIB)).statusCode).toBe(503);
    const refused = await post(app, 100 * KIB);
    expect(refused.json()).toMatchObject({
      code: 'queue_full',
      retryable: true,
      detail: expect.stringContaining('of this key'),
    });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    const socket = await begin(app, 100 * KIB);
    expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 503 /);
    socket.write(`}GET /livez HTTP/1.1\r\nHost: x\r\n\r\n`);
    expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('leave capacity for a body of maximum size of another key, and for small ones of the same key', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    for (let i = 0; i < 5; i++) await begin(app, 200 * KIB);
    expect((await post(app, 100 * KIB)).statusCode).toBe(503);
    expect((await post(app, FULL_SIZE, SHOP)).statusCode).toBe(202);
    expect((await post(app, KIB)).statusCode).toBe(202);
  });

  test('can use exactly half of the capacity', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    const first = await begin(app, FULL_SIZE / 2);
    expect((await post(app, FULL_SIZE / 2 + 10 * KIB)).statusCode).toBe(503);
    expect((await post(app, FULL_SIZE / 2)).statusCode).toBe(202);
    first.write('}');
    expect(await answerOf(first)).toMatch(/^HTTP\/1\.1 202 /);
  });

  test.each(['/send/batch', '/emails', '/emails/batch'])('count on %s, too', async (path) => {
    await using app = await startApp(SMALL);
    await app.listen();
    await begin(app, FULL_SIZE - 10 * KIB, { path });
    expect((await post(app, 100 * KIB)).statusCode).toBe(503);
  });

  test('count only the bytes that have arrived', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    const head = `POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${CRM_SECRET}\r\nContent-Type: application/json\r\n`;
    await write(app, `${head}Content-Length: ${FULL_SIZE}\r\n\r\n{`);
    expect((await post(app, FULL_SIZE - KIB)).statusCode).toBe(202);
  });
});

describe('the capacity of a body', () => {
  /**
   * Sends two concurrent bodies, each half of the share of a key: they fit only if the key has
   * nothing else counted.
   */
  async function expectAllFree(app: AppUnderTest): Promise<void> {
    const both = await Promise.all([post(app, FULL_SIZE / 2), post(app, FULL_SIZE / 2)]);
    expect(both.map(({ statusCode }) => statusCode)).toEqual([202, 202]);
  }

  test('is freed after 300 clients disconnect mid-body', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    for (let round = 0; round < 30; round++) {
      const sockets: Socket[] = [];
      for (let i = 0; i < 10; i++) sockets.push(await begin(app, 90 * KIB));
      for (const socket of sockets) socket.destroy();
      const left = () => app.logs.filter(({ aborted }) => aborted).length;
      await expect.poll(left, { interval: 5, timeout: 10_000 }).toBe((round + 1) * 10);
    }
    await expectAllFree(app);
  });

  test('is freed after bodies that time out, are refused or are invalid JSON', async () => {
    await using app = await startApp({ ...SMALL, requestTimeoutMs: 500 });
    await app.listen();
    const slow = await begin(app, 500 * KIB);
    expect(await answerOf(slow)).toMatch(/^HTTP\/1\.1 408 /);
    expect((await app.send(`{${' '.repeat(500 * KIB)}`)).statusCode).toBe(400);
    expect((await app.send({ ...MAIL, to: 5, text: 'x'.repeat(500 * KIB) })).statusCode).toBe(422);
    expect((await app.send(' '.repeat(FULL_SIZE + 10 * KIB))).statusCode).toBe(413);
    await expectAllFree(app);
  });

  test('is freed once its message is accepted, while the client still waits for the outcome', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    const waiting = await begin(app, FULL_SIZE - 10 * KIB, { headers: 'Prefer: wait=60\r\n' });
    waiting.write('}');
    await expect.poll(() => app.waiting.size).toBe(1);
    await expectAllFree(app);
  });

  test('is not used without a key, because the body is not read', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    for (let i = 0; i < 5; i++) {
      const socket = await begin(app, FULL_SIZE, { secret: 'wrong' });
      expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 401 /);
    }
    await expectAllFree(app);
  });

  test('shrinks as the queue fills', async () => {
    let free = 10 * FULL_SIZE;
    await using app = await startApp({ ...SMALL, freeBytes: () => free });
    await app.listen();
    for (let i = 0; i < 3; i++) await begin(app, FULL_SIZE);
    expect((await post(app, FULL_SIZE)).statusCode).toBe(202);
    free = 0;
    expect((await post(app, KIB)).statusCode).toBe(503);
    expect((await post(app, KIB, SHOP)).statusCode).toBe(503);
    free = 10 * FULL_SIZE;
    expect((await post(app, KIB)).statusCode).toBe(202);
  });
});

test('a body in chunks of one byte is read and counted like any other', async () => {
  await using app = await startApp(SMALL);
  const url = await app.listen();
  const body = bodyOf(300 * KIB);
  const chunks = [...body].map((character) => `1\r\n${character}\r\n`).join('');
  const head = `POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: ${CRM.authorization}\r\nContent-Type: application/json\r\nConnection: close\r\n`;
  const answer = await exchange(url, `${head}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`);
  expect(answer).toMatch(/^HTTP\/1\.1 202 /);
  const { text = null } = app.accepted[0]?.draft.content ?? {};
  expect(String(text && Buffer.from(text))).toBe(JSON.parse(body).text);
});
