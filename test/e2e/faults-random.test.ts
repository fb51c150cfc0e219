import { describe, expect, test } from 'vitest';
import type { MessageAnswer } from '../helpers/service.ts';
import type { Copy, FaultPlan, FaultStage, ServerFault } from '../helpers/smtp/faulty-session.ts';
import { startWithFaults } from '../helpers/smtp/faulty-smtp.ts';

const MESSAGES = 40;
/** Probability of a fault at each stage of an attempt. About every third attempt meets one. */
const RATE = 0.05;

const BROKEN = ['drop', 'reset', 'half', 'garble', '421 4.3.0 Service closing transmission channel'] as const;
const SLOW = ['hang', 'trickle', 'flood'] as const;
const REFUSED = ['451 4.3.0 Not now', '554 5.6.0 Never'] as const;

const FAULTS: Readonly<Record<FaultStage, readonly ServerFault[]>> = {
  connect: ['drop', 'reset'],
  greeting: [...BROKEN, ...BROKEN, ...SLOW],
  ehlo: [...BROKEN, ...BROKEN, ...SLOW],
  starttls: [...BROKEN, ...BROKEN, ...SLOW, ...REFUSED],
  tls: ['drop', 'reset', 'half', 'garble', 'hang'],
  'ehlo-tls': [...BROKEN, ...BROKEN, ...SLOW],
  auth: [...BROKEN, ...BROKEN, ...SLOW, ...REFUSED],
  mail: [...BROKEN, ...REFUSED, ...SLOW],
  rcpt: [...BROKEN, ...REFUSED, ...REFUSED, ...SLOW],
  data: [...BROKEN, ...REFUSED, ...SLOW],
  body: ['drop', 'reset', 'garble', '451 4.3.0 Not now'],
  dot: [...BROKEN, ...BROKEN, ...REFUSED, ...SLOW],
  idle: [...BROKEN, 'hang'],
  rset: [...BROKEN, 'hang'],
};

/** Returns the same numbers from 0 to 1 for the same seed (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function randomPlan(random: () => number): FaultPlan {
  return (stage) => {
    const faults = FAULTS[stage];
    return random() < RATE ? (faults[Math.floor(random() * faults.length)] ?? null) : null;
  };
}

/** Checks promises 2, 4 and 6 for one message and the copies that the server has of it. */
function expectTruth(message: MessageAnswer, copies: readonly Copy[]): void {
  const { status, recipients, possible_duplicate } = message;
  const details = JSON.stringify(
    { message, copies: copies.map(({ recipients, answered }) => ({ recipients, answered })) },
    null,
    2,
  );
  const emails = recipients.map(({ email }) => email);
  const accepted = recipients.filter((recipient) => recipient.status === 'accepted');
  const unanswered = copies.filter(({ answered }) => !answered);

  expect(new Set(copies.map(({ data }) => data)).size, details).toBeLessThanOrEqual(1);
  expect(emails, details).toEqual(expect.arrayContaining(copies.flatMap((copy) => copy.recipients)));
  for (const { email, status: outcome } of recipients) {
    const got = copies.filter((copy) => copy.recipients.includes(email)).length;
    if (outcome === 'accepted') expect(got, details).toBeGreaterThanOrEqual(1);
    if (possible_duplicate) continue;
    if (status === 'uncertain') expect(got, details).toBeLessThanOrEqual(1);
    else expect(got, details).toBe(outcome === 'accepted' ? 1 : 0);
  }
  if (status === 'sent') expect(accepted, details).toHaveLength(recipients.length);
  if (status === 'failed') expect(accepted, details).toHaveLength(0);
  if (status === 'partially_sent') expect(accepted.length % recipients.length, details).toBeGreaterThan(0);
  if (!possible_duplicate && status !== 'uncertain') expect(unanswered, details).toHaveLength(0);
}

describe.concurrent('random faults at random stages', { timeout: 120_000 }, () => {
  test.each([
    [1, {}],
    [2, {}],
    [3, { ON_UNCERTAIN: 'hold' }],
    [4, { RETRY_FOR: '30ms' }],
    [5, { RETRY_FOR: '0ms' }],
  ])(
    'leave every message settled, with a status that matches the copies (seed %i, %o)',
    async (seed, env) => {
      const random = createRandom(seed);
      await using app = await startWithFaults(randomPlan(random), {
        env,
        backoffScale: 0.0005,
        deadlines: { connectMs: 1500, greetingMs: 1000, setupMs: 1500, bodyMs: 1500 },
      });
      const people = ['ada@example.com', 'bob@example.com', 'carol@example.com', 'dave@example.com'];
      const responses = await Promise.all(
        Array.from({ length: MESSAGES }, (_, index) => {
          const to = people.slice(0, 1 + Math.floor(random() * people.length));
          return app.service.send({
            to,
            subject: `Message ${index}`,
            text: 'Hello.\n'.repeat(1 + Math.floor(random() * 2000)),
          });
        }),
      );
      const ids = responses.map(({ body }) => body.id);
      for (const id of ids) {
        const message = await app.service.settled(id);
        expectTruth(
          message,
          app.gmail.log.copies.filter(({ messageId }) => messageId === message.message_id),
        );
      }
      const tally = await app.service.tally(ids);
      expect(Object.values(tally).reduce((sum, count) => sum + count)).toBe(MESSAGES);
      expect(tally.waiting).toBeUndefined();
      const strange = app.gmail.log.copies.filter(
        ({ messageId }) => !responses.some(({ body }) => body.message_id === messageId),
      );
      expect(strange).toEqual([]);
    },
  );
});
