import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createTransactionClient,
  type TransactionClient,
  type TransactionResult,
} from '../../src/adapters/smtp/connection/transaction.ts';

const SHORT = [Buffer.from('Subject: x\r\n\r\nHello\r\n')];
const TO = ['ada@example.com', 'bob@example.com'];

interface Play {
  readonly result: TransactionResult;
  /** As reported to the observer. */
  readonly bodyStarted: boolean;
  readonly bodyEnded: boolean;
  /** All that the server has read. */
  readonly received: string;
  readonly client: TransactionClient;
}

interface Server {
  readonly received: string;
  /** Resolves when the client has sent the text. */
  until(text: string): Promise<void>;
  /** Sends each piece in a turn of its own. */
  send(...pieces: string[]): Promise<void>;
  end(): void;
}

function serve(socket: Duplex): Server {
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  return {
    get received() {
      return received;
    },
    async until(text) {
      while (!received.includes(text)) await once(socket, 'data');
    },
    async send(...pieces) {
      for (const piece of pieces) {
        socket.write(piece, 'latin1');
        await nextTurn();
      }
    },
    end: () => void socket.end(),
  };
}

/** Runs one transaction with a server that follows the script. */
async function play(
  script: (server: Server) => Promise<void>,
  { to = TO, slices = SHORT, extensions = ['PIPELINING'] } = {},
): Promise<Play> {
  const [near, far] = duplexPair();
  const client = createTransactionClient(near as unknown as Socket, extensions);
  const server = serve(far);
  const progress = { bodyStarted: false, bodyEnded: false };
  const observer = {
    bodyStarted() {
      progress.bodyStarted = true;
    },
    bodyEnded() {
      progress.bodyEnded = true;
    },
  };
  const scripted = script(server);
  const result = await client.send(
    { from: 'bot@acme.com', to, needsSmtpUtf8: false, size: 100 },
    slices,
    observer,
  );
  await scripted;
  return { result, ...progress, received: server.received, client };
}

const reply = fc.constantFrom(
  ...['250 2.1.0 OK', '250-2.0.0 OK\r\n250 2.0.0 more', '250', '251 Not local', '354 Go', '354-Go\r\n354 on'],
  ...['450 4.2.1 Later', '550 5.1.1 No', '550-5.7.1 No\r\n550 5.7.1 Never', '421 4.7.0 Closing', '503 Order'],
  ...['25 OK', '100 Wait', '600 What', '2500 OK', 'what?', '250-OK\r\n550 No', ''],
);
/** Mostly a conversation without faults, so that some come to their end. */
const likely = (good: string) => fc.oneof({ weight: 4, arbitrary: fc.constant(good) }, reply);
const conversation = fc.record({
  envelope: fc.tuple(likely('250 OK'), likely('250 OK'), likely('250 OK'), likely('354 Go')),
  final: likely('250 2.0.0 OK'),
  extra: fc.oneof({ weight: 8, arbitrary: fc.constant('') }, reply),
  /** Where the bytes are cut into pieces, and where the connection ends. */
  cuts: fc.array(fc.nat(200), { maxLength: 20 }),
  endAt: fc.option(fc.nat(200), { freq: 3 }),
});

function cutAt(text: string, cuts: readonly number[]): string[] {
  const places = [...new Set([0, ...cuts, text.length])].filter((at) => at <= text.length);
  return places
    .toSorted((a, b) => a - b)
    .map((at, i, all) => text.slice(at, all[i + 1]))
    .filter((piece) => piece !== '');
}

const lines = (...replies: string[]) =>
  replies
    .filter((one) => one !== '')
    .map((one) => `${one}\r\n`)
    .join('');

describe('a transaction with a server of any kind', () => {
  test('ends as the replies say, however their bytes are cut and wherever the connection ends', async () => {
    const kinds = new Set<string>();
    await fc.assert(
      fc.asyncProperty(conversation, async ({ envelope, final, extra, cuts, endAt }) => {
        const before = lines(...envelope);
        const after = lines(final, extra);
        const end = endAt ?? before.length + after.length;
        const run = (places: readonly number[]) =>
          play(async (server) => {
            await server.until('DATA\r\n');
            await server.send(...cutAt(before.slice(0, end), places));
            // The body is due only if the client takes the last reply for a 354.
            for (let turn = 0; turn < 10 && !server.received.endsWith('.\r\n'); turn++) await nextTurn();
            if (server.received.endsWith('.\r\n') && end > before.length)
              await server.send(...cutAt(after.slice(0, end - before.length), places));
            server.end();
          });
        const played = await run(cuts);
        const { result, received, bodyStarted, bodyEnded } = played;
        kinds.add(result.kind);

        // Without a recipient, a 354 gets an empty message.
        const isSent = received.endsWith('Hello\r\n.\r\n');
        // The outcome is uncertain only if the dot was sent.
        expect(bodyEnded).toBe(isSent);
        expect(bodyStarted || !isSent).toBe(true);
        if (isSent) expect(envelope.join('\r\n')).toMatch(/^250[\s\S]*354[^\r\n]*$/);
        if (result.kind === 'accepted') {
          expect(isSent).toBe(true);
          expect(after.slice(0, end - before.length)).toMatch(/^250(?:-.*\r\n250)?(?: .*)?\r\n/);
        }
        // Without an empty one, each reply is for the command in its place.
        const replies = [...envelope, final].map((one) => one.replaceAll('\r\n', '\n'));
        const isInPlace = !replies.includes('');
        if (result.kind === 'refused') {
          expect(result.reply.code).toBeGreaterThanOrEqual(400);
          const place = { mail: 0, rcpt: 2, data: 3, message: 4 }[result.stage];
          if (isInPlace) expect(replies[place]).toContain(result.reply.text);
        }
        for (const { index, reply: refusal } of result.refused)
          if (isInPlace) expect(replies[1 + index]).toContain(refusal.text);

        // In one piece, and byte by byte, the same.
        for (const places of [[], Array.from({ length: 200 }, (_, i) => i)]) {
          const again = await run(places);
          expect(again.result).toMatchObject({ kind: result.kind, refused: result.refused });
          expect([again.received, again.bodyEnded]).toEqual([received, bodyEnded]);
        }
      }),
      { numRuns: 1000 },
    );
    expect(kinds).toEqual(new Set(['accepted', 'refused', 'broken']));
  });
});

const OK_ALL = '250 OK\r\n250 OK\r\n250 OK\r\n';

describe('what a server sends too early', () => {
  test.each([
    ['a closing', async (server: Server) => server.end(), 'ECONNECTION'],
    ['an acceptance', async (server: Server) => server.send('250 OK\r\n'), 'EPROTOCOL'],
  ])(
    'right behind its 354, %s is read before the message is written, so nothing is uncertain',
    async (_, then, code) => {
      const { result, bodyEnded, received } = await play(async (server) => {
        await server.until('DATA\r\n');
        void server.send(`${OK_ALL}354 Go\r\n`);
        await then(server);
      });
      expect(result).toMatchObject({ kind: 'broken', error: { code } });
      expect(bodyEnded).toBe(false);
      expect(received).not.toContain('Subject');
    },
  );

  test('a second reply to one command is not taken for the reply to the next', async () => {
    const { result, received } = await play(
      async (server) => {
        await server.until('MAIL');
        await server.send('250 OK\r\n250 OK\r\n');
      },
      { extensions: [] },
    );
    expect(result).toMatchObject({ kind: 'broken', error: { code: 'EPROTOCOL' } });
    expect(received).not.toContain('RCPT');
  });

  test.each(['554 5.7.0 Too late\r\n', '451 4.4.2 Timeout\r\n', '25'])(
    'before a message, %j ends the session and says nothing about the message',
    async (early) => {
      const [near, far] = duplexPair();
      const client = createTransactionClient(near as unknown as Socket, ['PIPELINING']);
      const server = serve(far);
      await server.send(early);
      const observer = { bodyStarted() {}, bodyEnded() {} };
      const result = await client.send(
        { from: 'a@b.c', to: TO, needsSmtpUtf8: false, size: 100 },
        SHORT,
        observer,
      );
      expect(result).toMatchObject({ kind: 'broken', error: { code: 'ECONNECTION', response: '' } });
      expect([server.received, client.isOpen]).toEqual(['', false]);
    },
  );
});

describe('a refusal that is cut short', () => {
  test.each([['PIPELINING'], []])(
    'of one recipient concerns that recipient only (%s)',
    async (...extensions) => {
      const { result } = await play(
        async (server) => {
          if (extensions.length === 0) {
            await server.until('MAIL');
            await server.send('250 OK\r\n');
            await server.until('RCPT');
          } else {
            await server.until('DATA\r\n');
            await server.send('250 OK\r\n');
          }
          await server.send('550 5.1.1 No such us');
          server.end();
        },
        { extensions },
      );
      expect(result).toMatchObject({
        kind: 'broken',
        error: { code: 'ECONNECTION', response: '' },
        refused: [{ index: 0, reply: { code: 550, text: '550 5.1.1 No such us' } }],
      });
    },
  );

  test('of the message is a refusal', async () => {
    const { result } = await play(async (server) => {
      await server.until('DATA\r\n');
      await server.send(`${OK_ALL}354 Go\r\n`);
      await server.until('\r\n.\r\n');
      await server.send('554-5.7.1 Spam\r\n554 5.7');
      server.end();
    });
    expect(result).toMatchObject({ kind: 'refused', stage: 'message', reply: { code: 554 } });
  });
});

describe('a long message', () => {
  test('gets its dot only when the system has taken all of it', async () => {
    const slices = [Buffer.alloc(200_000, 'x'), Buffer.from('end\r\n')];
    const [near, far] = duplexPair({ writableHighWaterMark: 1000, readableHighWaterMark: 1 });
    const client = createTransactionClient(near as unknown as Socket, ['PIPELINING']);
    let ended = false;
    const observer = {
      bodyStarted() {},
      bodyEnded() {
        ended = true;
      },
    };
    const sending = client.send({ from: 'a@b.c', to: TO, needsSmtpUtf8: false, size: 100 }, slices, observer);
    let received = '';
    far.write(`${OK_ALL}354 Go\r\n`);
    while (!received.endsWith('x'.repeat(200_000))) {
      await nextTurn();
      received += far.read() ?? '';
    }
    // The last slice arrives, and is not read.
    for (let turn = 0; turn < 10; turn++) await nextTurn();
    expect(far.readableLength).toBe(5);
    far.destroy();
    await expect(sending).resolves.toMatchObject({ kind: 'broken' });
    expect(ended).toBe(false);
  });
});

test('QUIT is followed by a closing, whatever the server replies', async () => {
  const [near, far] = duplexPair();
  const client = createTransactionClient(near as unknown as Socket, []);
  const server = serve(far);
  client.quit();
  await once(far, 'end');
  expect([server.received, client.isOpen]).toEqual(['QUIT\r\n', false]);
  await once(near, 'close');
});
