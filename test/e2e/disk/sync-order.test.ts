import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startRawSmtp } from '../../helpers/smtp/raw-smtp.ts';
import { isInstalled, startInstance } from './instance.ts';
import { findOrderViolations, type TracedMessage } from './sync-order.ts';
import { parseTrace, straceTo } from './trace.ts';

describe('findOrderViolations', () => {
  const ID = 'msg_1';
  const record = `{\\"id\\":\\"${ID}\\",\\"test\\":false,\\"status\\":\\"queued\\",`;
  const written = (row: string) => [
    '7 pwrite64(5</q.db-wal>, "\\0\\0\\0\\2\\0\\0\\0\\0\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1", 24, 0) = 24',
    `7 pwrite64(5</q.db-wal>, "\\r\\0${row}", 4096, 24) = 4096`,
    '7 pwrite64(5</q.db-wal>, "\\0\\0\\0\\3\\0\\0\\0\\t\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1\\1", 24, 0) = 24',
    '7 pwrite64(5</q.db-wal>, "\\n\\0", 4096, 24) = 4096',
  ];
  const SYNC = '7 fsync(5</q.db-wal>)           = 0';
  const RESPONSE = `7 write(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, "HTTP/1.1 202 Accepted\\r\\n\\r\\n{\\"id\\":\\"${ID}\\"}", 40) = 40`;
  const ATTEMPT =
    '7 writev(8<TCP:[127.0.0.1:3->127.0.0.1:4]>, [{iov_base="MAIL FROM:<a@b.c>\\r\\n", iov_len=19}, {iov_base="RCPT TO:<ada@b.c>\\r\\n", iov_len=19}], 2) = 38';
  const valid = {
    accept: [...written(record), SYNC, RESPONSE],
    attempt: [...written(`${ID}\\2sending`), SYNC, ATTEMPT],
  };
  const violationsIn = (...lines: string[]) =>
    findOrderViolations(parseTrace(lines.join('\n')), [{ id: ID, recipient: 'ada@b.c' }]);

  test('accepts a trace with write, commit and sync before the response or attempt', () => {
    expect(violationsIn(...valid.accept, ...valid.attempt)).toEqual([]);
  });

  test.each([
    ['nothing is synced', [...written(record), RESPONSE]],
    ['the sync comes after the response', [...written(record), RESPONSE, SYNC]],
    [
      'the sync returns after the response',
      [
        ...written(record),
        '7 fsync(5</q.db-wal> <unfinished ...>',
        RESPONSE.replace('7', '8'),
        '7 <... fsync resumed>) = 0',
      ],
    ],
    ['the sync fails', [...written(record), SYNC.replace('0', '-1 EIO (Input/output error)'), RESPONSE]],
    ['another file is synced', [...written(record), SYNC.replace('-wal', ''), RESPONSE]],
    ['the sync comes before the write', [SYNC, ...written(record), RESPONSE]],
    ['the transaction continues after the sync', written(record).toSpliced(2, 0, SYNC).concat(RESPONSE)],
  ])('reports the response when %s', (_, accept) => {
    expect(violationsIn(...accept, ...valid.attempt)).toEqual([
      `the 202 of ${ID} was sent before the message was synced`,
    ]);
  });

  test.each([
    ['no attempt is recorded', [SYNC, ATTEMPT]],
    ['its record is synced too late', [...written(`${ID}\\2sending`), ATTEMPT, SYNC]],
  ])('reports the attempt when %s', (_, attempt) => {
    expect(violationsIn(...valid.accept, ...attempt)).toEqual([
      `the attempt of ${ID} was sent before its record was synced`,
    ]);
  });

  test('reports both when the trace is empty', () => {
    expect(violationsIn()).toEqual([
      `the 202 of ${ID} is not in the trace`,
      `the attempt of ${ID} is not in the trace`,
    ]);
  });
});

test.runIf(isInstalled('strace'))(
  'syncs each message before its 202, and each attempt before its first byte is sent (skipped without strace)',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ot5-order-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const trace = join(folder, 'trace');
    // Without TLS, so that the trace shows the commands.
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
      command: straceTo(trace),
    });

    const messages: TracedMessage[] = [];
    for (let round = 1; round <= 4; round++) {
      const recipients = Array.from({ length: 10 }, (_, index) => `r${round}.${index}@example.com`);
      const responses = await Promise.all(
        recipients.map((to) => service.send({ to, subject: 'Hello', text: 'Hello.' })),
      );
      for (const [index, { status, body }] of responses.entries()) {
        expect(status).toBe(202);
        messages.push({ id: body.id, recipient: recipients[index] ?? '' });
      }
    }
    for (const { id } of messages)
      await expect.poll(async () => (await service.get(id)).body.status).toBe('sent');
    await service.kill();
    const calls = parseTrace(await readFile(trace, 'latin1'));
    expect(findOrderViolations(calls, messages)).toEqual([]);
  },
);
