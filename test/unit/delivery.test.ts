import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { advance, isSettled, STATUSES, type Status } from '../../src/core/delivery/delivery.ts';
import { aDelivery } from '../helpers/delivery.ts';

const SETTLED: readonly Status[] = ['sent', 'partially_sent', 'failed', 'uncertain', 'canceled', 'expired'];

const RETRYABLE: readonly Status[] = ['failed', 'uncertain', 'expired'];

describe('the state machine', () => {
  test('the settled statuses are those that end the equation', () => {
    expect(STATUSES.filter(isSettled)).toEqual(SETTLED);
  });

  test('whatever is asked of it, it takes allowed steps, refuses the others, and what is settled has no next attempt, and content only if it may be tried again', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...STATUSES), { maxLength: 30 }), (steps) => {
        let delivery = aDelivery({ nextAttemptAt: 5 });
        for (const status of steps) {
          const before = delivery;
          try {
            delivery = advance(delivery, status, { nextAttemptAt: 7 });
          } catch {
            expect(delivery).toBe(before);
            continue;
          }
          if (isSettled(before.status))
            expect([RETRYABLE.includes(before.status), status]).toEqual([true, 'queued']);
          expect(delivery.revision).toBe(before.revision + 1);
          expect(delivery.status).toBe(status);
          expect(delivery.content === null).toBe(isSettled(status) && !RETRYABLE.includes(status));
          expect(delivery.nextAttemptAt).toBe(isSettled(status) ? null : 7);
          expect(delivery.recipients).toEqual(before.recipients);
        }
      }),
    );
  });

  test('only sending leads to an outcome, so an attempt is always recorded first; a deferred message may be given up', () => {
    for (const from of STATUSES.filter((status) => status !== 'sending')) {
      for (const to of ['sent', 'partially_sent', 'failed', 'uncertain'] as const) {
        const isGivenUp = from === 'deferred' && (to === 'failed' || to === 'partially_sent');
        if (!isGivenUp) expect(() => advance(aDelivery({ status: from }), to)).toThrow(/cannot go/);
      }
    }
  });
});
