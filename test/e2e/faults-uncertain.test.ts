import { describe, expect, test } from 'vitest';
import type { FaultPlan, FaultStage, ServerFault } from '../helpers/smtp/faulty-session.ts';
import { failAt, startWithFaults } from '../helpers/smtp/faulty-smtp.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };
/**
 * Only for faults that no other event ends: a successful attempt must stay below them, even on a
 * busy machine.
 */
const SHORT = { setupMs: 5000, bodyMs: 2500 };
const TIMEOUT_MS = 60_000;

const FAULTS_AFTER_DOT = [
  ['drop', 'connection_lost'],
  ['reset', 'connection_lost'],
  ['half', 'connection_lost'],
  ['hang', 'connection_lost'],
  ['trickle', 'connection_lost'],
  ['garble', 'smtp_protocol_error'],
  ['flood', 'smtp_protocol_error'],
] as const;

const setupFor = (fault: string) => (fault === 'hang' || fault === 'trickle' ? { deadlines: SHORT } : {});

describe.concurrent('session lost after the dot', { timeout: TIMEOUT_MS }, () => {
  test.each(FAULTS_AFTER_DOT)(
    'by %s fails with %s, and sends a byte-identical second copy that may be a duplicate',
    async (fault, code) => {
      await using app = await startWithFaults(failAt('dot', fault), setupFor(fault));
      const { status, body } = await app.service.send(HELLO, { wait: 50 });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        status: 'sent',
        possible_duplicate: true,
        attempts: [
          { number: 1, smtp: null, error: { code } },
          { number: 2, smtp: { code: 250 }, error: null },
        ],
      });
      const [first, second] = app.gmail.log.copies;
      expect(app.gmail.log.copies).toHaveLength(2);
      expect(first).toMatchObject({ messageId: body.message_id, answered: false });
      expect(second).toEqual({ ...first, answered: true });
      expect(await app.service.tally([body.id])).toEqual({ sent: 1 });
    },
  );

  test.each(FAULTS_AFTER_DOT)(
    'by %s is uncertain with ON_UNCERTAIN=hold, and never sent again',
    async (fault, code) => {
      await using app = await startWithFaults(failAt('dot', fault), {
        ...setupFor(fault),
        env: { ON_UNCERTAIN: 'hold' },
      });
      const { status, body } = await app.service.send(HELLO, { wait: 50 });
      expect(status).toBe(502);
      expect(body).toMatchObject({
        code: 'delivery_uncertain',
        message: { status: 'uncertain', next_attempt_at: null, attempts: [{ number: 1, error: { code } }] },
      });
      expect(body.detail).toContain(code);
      const { id = '', message_id } = body.message ?? {};
      expect(await app.service.tally([id])).toEqual({ uncertain: 1 });
      // A second copy would arrive before a later message.
      await app.service.send({ ...HELLO, subject: 'Later' }, { wait: 50 });
      const copies = app.gmail.log.copies.map(({ messageId, answered }) => [messageId, answered]);
      expect(copies).toEqual([
        [message_id, false],
        [expect.any(String), true],
      ]);
    },
  );

  test('repeatedly sends a byte-identical copy each time', async () => {
    await using app = await startWithFaults(failAt('dot', 'drop', 3));
    const { body } = await app.service.send(HELLO, { wait: 50 });
    expect(body).toMatchObject({ status: 'sent', possible_duplicate: true });
    expect(body.attempts).toHaveLength(4);
    expect(app.gmail.log.copies).toHaveLength(4);
    expect(new Set(app.gmail.log.copies.map(({ data }) => data)).size).toBe(1);
  });

  test('is uncertain, not failed, if no time is left for another attempt', async () => {
    await using app = await startWithFaults(failAt('dot', 'drop'), { env: { RETRY_FOR: '0ms' } });
    const { body } = await app.service.send(HELLO, { wait: 50 });
    expect(body).toMatchObject({
      code: 'delivery_uncertain',
      message: { status: 'uncertain', attempts: [{ number: 1 }] },
    });
    expect(app.gmail.log.copies).toMatchObject([{ messageId: body.message?.message_id }]);
  });

  test('stays uncertain after a later refusal', async () => {
    await using app = await startWithFaults(failInSequence('dot', ['drop', '554 5.6.0 Never']));
    const { body } = await app.service.send(HELLO, { wait: 50 });
    expect(body).toMatchObject({
      message: { status: 'failed', possible_duplicate: true, attempts: [{ number: 1 }, { number: 2 }] },
    });
    expect(app.gmail.log.copies).toMatchObject([{ messageId: body.message?.message_id, answered: false }]);
  });
});

describe('invalid reply to one RCPT', () => {
  test.each<[string, ServerFault[]]>([
    ['alone', ['garble']],
    ['beside a temporary refusal', ['451 4.3.0 Not now', 'garble']],
  ])('ends the attempt before the body, so that each recipient gets one copy: %s', async (_, faults) => {
    await using app = await startWithFaults(failInSequence('rcpt', faults));
    const to = ['ada@example.com', 'bob@example.com', 'carol@example.com'];
    const { body } = await app.service.send({ ...HELLO, to }, { wait: 50 });
    const attempts = [{ number: 1, error: { code: 'smtp_protocol_error' } }, { number: 2 }];
    expect(body).toMatchObject({ status: 'sent', possible_duplicate: false, attempts });
    expect(body.recipients.map(({ status }) => status)).toEqual(['accepted', 'accepted', 'accepted']);
    expect(app.gmail.log.copies.map(({ recipients }) => recipients)).toEqual([to]);
  });
});

/** Returns a plan with these faults at the stage, one after the other, then none. */
function failInSequence(stage: FaultStage, faults: readonly ServerFault[]): FaultPlan {
  const left = [...faults];
  return (at) => (at === stage ? (left.shift() ?? null) : null);
}
