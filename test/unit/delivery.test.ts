import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { advance, amend, isSettled, STATUSES, type Status } from '../../src/core/delivery/delivery.ts';
import { toJob } from '../../src/core/delivery/outcome.ts';
import { aDelivery, aLookup, aMessage } from '../helpers/delivery.ts';

const SETTLED: readonly Status[] = ['sent', 'partially_sent', 'failed', 'uncertain', 'canceled', 'expired'];

const RETRYABLE: readonly Status[] = ['failed', 'uncertain', 'expired'];

/** Whether the message is found in Sent Mail after ON_UNCERTAIN has decided. */
function isFound(from: Status, to: Status): boolean {
  return from === 'uncertain' && (to === 'sent' || to === 'partially_sent');
}

describe('the state machine', () => {
  test('six statuses are settled', () => {
    expect(STATUSES.filter(isSettled)).toEqual(SETTLED);
  });

  test('makes allowed transitions and refuses others; a settled delivery has no next attempt, and content and a lookup only if retryable', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...STATUSES), { maxLength: 30 }), (steps) => {
        let delivery = aDelivery({ nextAttemptAt: 5, lookup: aLookup() });
        for (const status of steps) {
          const before = delivery;
          try {
            delivery = advance(delivery, status, { nextAttemptAt: 7 });
          } catch {
            expect(delivery).toBe(before);
            continue;
          }
          if (isSettled(before.status) && !isFound(before.status, status))
            expect([RETRYABLE.includes(before.status), status]).toEqual([true, 'queued']);
          expect(delivery.revision).toBe(before.revision + 1);
          expect(delivery.status).toBe(status);
          const isOver = isSettled(status) && !RETRYABLE.includes(status);
          expect([delivery.content === null, delivery.lookup === null]).toEqual([isOver, isOver]);
          expect(delivery.nextAttemptAt).toBe(isSettled(status) ? null : 7);
          expect(delivery.recipients).toEqual(before.recipients);
        }
      }),
    );
  });

  test('reaches an outcome only from sending, so that an attempt is recorded first, from deferred when given up or searched for, or from uncertain when found', () => {
    for (const from of STATUSES.filter((status) => status !== 'sending' && status !== 'deferred')) {
      for (const to of ['sent', 'partially_sent', 'failed', 'uncertain'] as const) {
        if (!isFound(from, to)) expect(() => advance(aDelivery({ status: from }), to)).toThrow(/cannot go/);
      }
    }
  });
});

describe('the date of a job', () => {
  const dateOf = (delivery: ReturnType<typeof aDelivery>) => toJob(delivery, aMessage().content, []).date;

  test('is when the message was accepted, or is scheduled for if that is later', () => {
    expect(dateOf(aDelivery({ createdAt: 1000 }))).toBe(1000);
    expect(dateOf(aDelivery({ createdAt: 1000, scheduledAt: 5000 }))).toBe(5000);
    expect(dateOf(aDelivery({ createdAt: 1000, scheduledAt: 500 }))).toBe(1000);
  });

  test('follows a new schedule, and is the same for all attempts', () => {
    const scheduled = aDelivery({ createdAt: 1000, scheduledAt: 5000, status: 'scheduled' });
    const rescheduled = amend(scheduled, { scheduledAt: 9000 });
    const deferred = advance(advance(advance(rescheduled, 'queued'), 'sending'), 'deferred', {
      nextAttemptAt: 20_000,
    });
    expect([rescheduled, deferred].map(dateOf)).toEqual([9000, 9000]);
  });
});
