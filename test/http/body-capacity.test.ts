import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type AppUnderTest, CRM, CRM_SECRET, exchange, MAIL, SHOP, startApp } from '../helpers/app.ts';

const KIB = 1024;
/** Room for two bodies of full size, each 1 MiB and a little: half of it for each of two keys. */
const SMALL = { maxMessageBytes: 1, freeBytes: () => 0 };
const FULL_SIZE = 1024 * KIB;

/** A body of so many bytes that is accepted. */
function bodyOf(bytes: number): string {
  const mail = { ...MAIL, text: '' };
  return JSON.stringify({ ...mail, text: 'x'.repeat(bytes - JSON.stringify(mail).length) });
}

function post(app: AppUnderTest, bytes: number, headers: Record<string, string> = {}) {
  return app.send(bodyOf(bytes), headers);
}

/** Begins a request with a body of which all but the last byte comes; resolves when the server has read that. */
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
  test('are refused past its share, with 503 and Retry-After, and may finish', async () => {
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

  test('leave room for a body of full size of another key, and for small ones of their own', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    for (let i = 0; i < 5; i++) await begin(app, 200 * KIB);
    expect((await post(app, 100 * KIB)).statusCode).toBe(503);
    expect((await post(app, FULL_SIZE, SHOP)).statusCode).toBe(202);
    expect((await post(app, KIB)).statusCode).toBe(202);
  });

  test('may fill exactly half of what there is', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    const first = await begin(app, FULL_SIZE / 2);
    expect((await post(app, FULL_SIZE / 2 + 10 * KIB)).statusCode).toBe(503);
    expect((await post(app, FULL_SIZE / 2)).statusCode).toBe(202);
    first.write('}');
    expect(await answerOf(first)).toMatch(/^HTTP\/1\.1 202 /);
  });

  test.each(['/send/batch', '/emails', '/emails/batch'])('count on %s too', async (path) => {
    await using app = await startApp(SMALL);
    await app.listen();
    await begin(app, FULL_SIZE - 10 * KIB, { path });
    expect((await post(app, 100 * KIB)).statusCode).toBe(503);
  });

  test('count only as far as they have come', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    const head = `POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${CRM_SECRET}\r\nContent-Type: application/json\r\n`;
    await write(app, `${head}Content-Length: ${FULL_SIZE}\r\n\r\n{`);
    expect((await post(app, FULL_SIZE - KIB)).statusCode).toBe(202);
  });
});

describe('the room of a body', () => {
  /** Half of the share of a key, twice at once: both fit only if nothing else of the key is counted. */
  async function expectAllFree(app: AppUnderTest): Promise<void> {
    const both = await Promise.all([post(app, FULL_SIZE / 2), post(app, FULL_SIZE / 2)]);
    expect(both.map(({ statusCode }) => statusCode)).toEqual([202, 202]);
  }

  test('is free again after 300 clients left in the middle', async () => {
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

  test('is free again after bodies that came too slowly, were refused or were no JSON', async () => {
    await using app = await startApp({ ...SMALL, requestTimeoutMs: 500 });
    await app.listen();
    const slow = await begin(app, 500 * KIB);
    expect(await answerOf(slow)).toMatch(/^HTTP\/1\.1 408 /);
    expect((await app.send(`{${' '.repeat(500 * KIB)}`)).statusCode).toBe(400);
    expect((await app.send({ ...MAIL, to: 5, text: 'x'.repeat(500 * KIB) })).statusCode).toBe(422);
    expect((await app.send(' '.repeat(FULL_SIZE + 10 * KIB))).statusCode).toBe(413);
    await expectAllFree(app);
  });

  test('is free again once its message is accepted, also while the client waits for it', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    const waiting = await begin(app, FULL_SIZE - 10 * KIB, { headers: 'Prefer: wait=60\r\n' });
    waiting.write('}');
    await expect.poll(() => app.waiting.size).toBe(1);
    await expectAllFree(app);
  });

  test('is never taken without a key: the body is not read', async () => {
    await using app = await startApp(SMALL);
    await app.listen();
    for (let i = 0; i < 5; i++) {
      const socket = await begin(app, FULL_SIZE, { secret: 'wrong' });
      expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 401 /);
    }
    await expectAllFree(app);
  });

  test('is that of the queue: the more waits, the less is read at once', async () => {
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

test('a body in chunks of one byte is read, and counts as any other', async () => {
  await using app = await startApp(SMALL);
  const url = await app.listen();
  const body = bodyOf(300 * KIB);
  const chunks = [...body].map((character) => `1\r\n${character}\r\n`).join('');
  const head = `POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: ${CRM.authorization}\r\nContent-Type: application/json\r\nConnection: close\r\n`;
  const answer = await exchange(url, `${head}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`);
  expect(answer).toMatch(/^HTTP\/1\.1 202 /);
  expect(app.accepted[0]?.draft.content.text).toBe(JSON.parse(body).text);
});
