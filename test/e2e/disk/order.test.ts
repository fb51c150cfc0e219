import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startRawSmtp } from '../../helpers/smtp/raw-smtp.ts';
import { isThere, startInstance } from './instance.ts';
import { findDisorder, type Traced } from './order.ts';
import { parseTrace, straceTo } from './trace.ts';

describe('what is taken for the right order', () => {
  const ID = 'msg_1';
  const kept = (status: string) => [
    '7 pwrite64(5</q.db-wal>, "\\0\\0\\0\\2\\0\\0\\0\\0\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1", 24, 0) = 24',
    `7 pwrite64(5</q.db-wal>, "\\r\\0{\\"id\\":\\"${ID}\\",\\"test\\":false,\\"status\\":\\"${status}\\",", 4096, 24) = 4096`,
    '7 pwrite64(5</q.db-wal>, "\\0\\0\\0\\3\\0\\0\\0\\t\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1", 24, 0) = 24',
    '7 pwrite64(5</q.db-wal>, "\\n\\0", 4096, 24) = 4096',
  ];
  const SYNC = '7 fsync(5</q.db-wal>)           = 0';
  const ANSWER = `7 write(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, "HTTP/1.1 202 Accepted\\r\\n\\r\\n{\\"id\\":\\"${ID}\\"}", 40) = 40`;
  const ATTEMPT =
    '7 writev(8<TCP:[127.0.0.1:3->127.0.0.1:4]>, [{iov_base="MAIL FROM:<a@b.c>\\r\\n", iov_len=19}, {iov_base="RCPT TO:<ada@b.c>\\r\\n", iov_len=19}], 2) = 38';
  const right = { accept: [...kept('queued'), SYNC, ANSWER], attempt: [...kept('sending'), SYNC, ATTEMPT] };
  const disorderIn = (...lines: string[]) =>
    findDisorder(parseTrace(lines.join('\n')), [{ id: ID, recipient: 'ada@b.c' }]);

  test('written, committed, synced, and then told or tried', () => {
    expect(disorderIn(...right.accept, ...right.attempt)).toEqual([]);
  });

  test.each([
    ['nothing is synced', [...kept('queued'), ANSWER]],
    ['the sync comes after the answer', [...kept('queued'), ANSWER, SYNC]],
    [
      'the sync returns after the answer',
      [
        ...kept('queued'),
        '7 fsync(5</q.db-wal> <unfinished ...>',
        ANSWER.replace('7', '8'),
        '7 <... fsync resumed>) = 0',
      ],
    ],
    ['the sync fails', [...kept('queued'), SYNC.replace('0', '-1 EIO (Input/output error)'), ANSWER]],
    ['another file is synced', [...kept('queued'), SYNC.replace('-wal', ''), ANSWER]],
    ['the sync comes before the write', [SYNC, ...kept('queued'), ANSWER]],
    ['the transaction goes on after the sync', kept('queued').toSpliced(2, 0, SYNC).concat(ANSWER)],
  ])('not when %s', (_, accept) => {
    expect(disorderIn(...accept, ...right.attempt)).toEqual([
      `the 202 of ${ID} went out before the message was synced`,
    ]);
  });

  test.each([
    ['no attempt is recorded', [SYNC, ATTEMPT]],
    ['its record is synced too late', [...kept('sending'), ATTEMPT, SYNC]],
  ])('not when %s', (_, attempt) => {
    expect(disorderIn(...right.accept, ...attempt)).toEqual([
      `the attempt of ${ID} went out before its record was synced`,
    ]);
  });

  test('not when there is nothing to see', () => {
    expect(disorderIn()).toEqual([
      `the 202 of ${ID} is not in the trace`,
      `the attempt of ${ID} is not in the trace`,
    ]);
  });
});

test.runIf(isThere('strace'))(
  'each message is synced before it is acknowledged, and each attempt before its first byte goes out (skipped where there is no strace)',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ot5-order-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const trace = join(folder, 'trace');
    // In the clear, so that the trace can be read.
    await using smtp = await startRawSmtp(async (io) => {
      await io.greet();
      for (;;) {
        await io.acceptEnvelope();
        await io.readUntilDot();
        io.send('250 2.0.0 OK\r\n');
      }
    });
    await using service = await startInstance({
      smtp: { url: `smtp://127.0.0.1:${smtp.port}?tls=never`, ca: '' },
      file: join(folder, 'queue.db'),
      under: straceTo(trace),
    });

    const messages: Traced[] = [];
    for (let round = 1; round <= 4; round++) {
      const recipients = Array.from({ length: 10 }, (_, index) => `r${round}.${index}@example.com`);
      const answers = await Promise.all(
        recipients.map((to) => service.send({ to, subject: 'Hello', text: 'Hello.' })),
      );
      for (const [index, { status, body }] of answers.entries()) {
        expect(status).toBe(202);
        messages.push({ id: body.id, recipient: recipients[index] ?? '' });
      }
    }
    for (const { id } of messages)
      await expect.poll(async () => (await service.get(id)).body.status).toBe('sent');
    await service.kill();
    const calls = parseTrace(await readFile(trace, 'latin1'));
    expect(findDisorder(calls, messages)).toEqual([]);
  },
);
