import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Priority } from '../../src/core/message/message.ts';
import {
  type Allowance,
  budgetOf,
  countMessage,
  learnLimit,
  newQuota,
  quotaStatusOf,
  waitForQuota,
} from '../../src/core/quota.ts';
import { HOUR, MINUTE } from '../../src/core/time.ts';
import {
  addUsage,
  type Count,
  changedBuckets,
  copyUsage,
  mergeBuckets,
  subtractUsage,
  totalUsage,
  type Usage,
  WINDOW_MS,
} from '../../src/core/usage.ts';

/** A slot is free this much later than 24 h after its message, at most. */
const BUCKET = 10 * MINUTE;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** The shared clock: it does not jump when the clock of the machine is set. */
const now = () => performance.timeOrigin + performance.now();

function aQuota(limits: Partial<Allowance> = {}) {
  const allowance: Allowance = { messages: 10, recipients: 100, reserve: 0, ...limits };
  const rules = { allowance, backoffScale: 1 };
  const quota = newQuota(now());
  const usage: Usage = [];
  /** The quota while these attempts are under way. */
  const during = (inFlight: Count = { messages: 0, recipients: 0 }) => {
    const consumption = () => ({ usage, inFlight, learned: quota.learned });
    return {
      waitMs: (recipients: number, priority: Priority) =>
        waitForQuota(consumption(), rules, now(), { recipients, priority }),
      left: (priority: Priority) => budgetOf(consumption(), allowance, priority, now()).left,
    };
  };
  return {
    usage,
    ...during(),
    /** The quota while one message for this number of recipients is under way. */
    during: (recipients: number) => during({ messages: 1, recipients }),
    send(times: number, recipients = 1) {
      for (let i = 0; i < times; i++) countMessage(quota, usage, recipients, now());
    },
    learn: () => learnLimit(quota, usage, rules, now()),
    status: () => quotaStatusOf(quota, usage, allowance, now()),
  };
}

describe('the quota of an account', () => {
  test('allows the configured number of messages, and more once the oldest is 24 h old', () => {
    const quota = aQuota();
    quota.send(4);
    vi.advanceTimersByTime(HOUR);
    quota.send(6);
    const waitMs = quota.waitMs(1, 'normal');
    expect(waitMs).toBeGreaterThanOrEqual(WINDOW_MS - HOUR);
    expect(waitMs).toBeLessThanOrEqual(WINDOW_MS - HOUR + BUCKET);
    expect(Math.ceil((quota.status().freesAt ?? 0) - now())).toBe(waitMs);
    vi.advanceTimersByTime(waitMs);
    expect(quota.waitMs(1, 'normal')).toBe(0);
    expect(quota.left('normal')).toBe(4);
  });

  test('counts recipients as well, and waits until there is room for all of a message', () => {
    const quota = aQuota();
    quota.send(1, 30);
    vi.advanceTimersByTime(HOUR);
    quota.send(1, 60);
    expect(quota.waitMs(10, 'normal')).toBe(0);
    expect(quota.waitMs(11, 'normal')).toBeLessThanOrEqual(WINDOW_MS - HOUR + BUCKET);
    expect(quota.waitMs(41, 'normal')).toBeGreaterThan(WINDOW_MS - MINUTE);
    expect(quota.status()).toMatchObject({
      messages: { limit: 10, used: 2 },
      recipients: { limit: 100, used: 90 },
    });
  });

  test('reserves a share for high priority', () => {
    const quota = aQuota({ reserve: 0.2 });
    quota.send(8);
    expect([quota.left('normal'), quota.left('high')]).toEqual([0, 2]);
    expect(quota.waitMs(1, 'normal')).toBeGreaterThan(0);
    expect(quota.waitMs(1, 'high')).toBe(0);
    quota.send(2);
    expect(quota.waitMs(1, 'high')).toBeGreaterThan(0);
  });

  test('counts attempts under way until they end', () => {
    const quota = aQuota({ messages: 1 });
    expect(quota.during(1).waitMs(1, 'normal')).toBeGreaterThan(0);
    expect(quota.during(1).left('normal')).toBe(0);
    expect(quota.waitMs(1, 'normal')).toBe(0);
    expect(quota.status().messages.used).toBe(0);
  });

  test('counts the recipients of attempts under way', () => {
    const quota = aQuota();
    expect(quota.during(90).waitMs(10, 'normal')).toBe(0);
    expect(quota.during(90).waitMs(11, 'normal')).toBeGreaterThan(0);
  });

  test('has room again for a message that is taken back', () => {
    const quota = aQuota({ messages: 1 });
    quota.send(1, 7);
    subtractUsage(quota.usage, { messages: 1, recipients: 7 }, quota.usage[0]?.leavesAt ?? 0);
    expect(quota.waitMs(1, 'normal')).toBe(0);
    expect(quota.status()).toMatchObject({ messages: { used: 0 }, recipients: { used: 0 } });
  });

  test('lets a message that is larger than the whole limit go when nothing else is counted', () => {
    const quota = aQuota({ recipients: 50 });
    expect(quota.waitMs(80, 'normal')).toBe(0);
    quota.send(1);
    expect(quota.waitMs(80, 'normal')).toBeGreaterThan(0);
  });

  test('reports since when it counts', () => {
    const startedAt = Math.round(now());
    const quota = aQuota();
    vi.advanceTimersByTime(HOUR);
    expect(quota.status()).toMatchObject({ countedSince: startedAt, freesAt: null });
  });
});

describe('a limit that Gmail reports below the configured one', () => {
  test('is learned: no message goes beyond it', () => {
    const quota = aQuota();
    quota.send(4);
    expect(quota.learn()).toBeGreaterThan(WINDOW_MS - MINUTE);
    expect(quota.status().messages).toEqual({ limit: 10, learned: 4, used: 4 });
    expect(quota.waitMs(1, 'high')).toBe(HOUR);
    expect(quota.left('high')).toBe(0);
  });

  test('is tested with one message an hour later, and forgotten when that is accepted', () => {
    const quota = aQuota();
    quota.send(4);
    quota.learn();
    vi.advanceTimersByTime(HOUR);
    expect(quota.waitMs(1, 'normal')).toBe(0);
    expect(quota.during(1).waitMs(1, 'normal')).toBeGreaterThan(0);
    quota.send(1);
    expect(quota.status().messages).toEqual({ limit: 10, learned: null, used: 5 });
    expect(quota.waitMs(1, 'normal')).toBe(0);
  });

  test('is learned again when that is refused, and tested again an hour later', () => {
    const quota = aQuota();
    quota.send(4);
    quota.learn();
    vi.advanceTimersByTime(HOUR);
    quota.learn();
    expect(quota.waitMs(1, 'normal')).toBe(HOUR);
  });

  test('never lets the configured limit be exceeded', () => {
    const quota = aQuota();
    quota.send(10);
    quota.learn();
    vi.advanceTimersByTime(2 * HOUR);
    expect(quota.waitMs(1, 'high')).toBeGreaterThan(HOUR);
  });
});

test('no 24 hours hold more than the limits, and a message goes after the wait it was given', () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 0, max: 4 * HOUR }),
    recipients: fc.integer({ min: 1, max: 20 }),
    high: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
      const allowance = { messages: 12, recipients: 60, reserve: 0.25 };
      const quota = aQuota(allowance);
      const sent: { at: number; recipients: number }[] = [];
      for (const { afterMs, recipients, high } of steps) {
        vi.advanceTimersByTime(afterMs);
        const priority = high ? 'high' : 'normal';
        vi.advanceTimersByTime(quota.waitMs(recipients, priority));
        expect(quota.waitMs(recipients, priority)).toBe(0);
        quota.send(1, recipients);
        sent.push({ at: performance.now(), recipients });
        const day = sent.filter(({ at }) => at > performance.now() - WINDOW_MS);
        expect(day.length).toBeLessThanOrEqual(allowance.messages);
        expect(day.reduce((sum, one) => sum + one.recipients, 0)).toBeLessThanOrEqual(allowance.recipients);
      }
    }),
    { numRuns: 50 },
  );
});

describe('usage', () => {
  const ONE = { messages: 1, recipients: 2 };

  test('takes no more than 145 buckets, and none leaves the window early or more than ten minutes late', () => {
    const usage: Usage = [];
    const left: { at: number; leavesAt: number }[] = [];
    for (let i = 0; i < 3000; i++) {
      left.push({ at: now(), leavesAt: addUsage(usage, ONE, now()) });
      expect(usage.length).toBeLessThanOrEqual(145);
      vi.advanceTimersByTime(71_234);
    }
    for (const { at, leavesAt } of left) {
      expect(leavesAt - at).toBeGreaterThanOrEqual(WINDOW_MS);
      expect(leavesAt - at).toBeLessThanOrEqual(WINDOW_MS + BUCKET);
    }
    expect(totalUsage(usage, now()).messages).toBeGreaterThanOrEqual(WINDOW_MS / 71_234);
  });

  test('takes back what was counted, from the bucket in which it was counted', () => {
    const usage: Usage = [];
    const leavesAt = addUsage(usage, { messages: 1, recipients: 7 }, now());
    vi.advanceTimersByTime(HOUR);
    addUsage(usage, ONE, now());
    subtractUsage(usage, { messages: 1, recipients: 7 }, leavesAt);
    expect(totalUsage(usage, now())).toEqual(ONE);
    vi.advanceTimersByTime(WINDOW_MS - HOUR + BUCKET);
    expect(totalUsage(usage, now())).toEqual(ONE);
  });

  test('is not reduced when what is taken back has left the window', () => {
    const usage: Usage = [];
    const leavesAt = addUsage(usage, ONE, now());
    vi.advanceTimersByTime(WINDOW_MS + BUCKET);
    addUsage(usage, ONE, now());
    subtractUsage(usage, ONE, leavesAt);
    expect(totalUsage(usage, now())).toEqual(ONE);
  });

  test('stays in order when the clock of another instance is behind', () => {
    const usage: Usage = [];
    addUsage(usage, ONE, now());
    addUsage(usage, ONE, now() - HOUR);
    expect(usage).toHaveLength(1);
    expect(totalUsage(usage, now())).toEqual({ messages: 2, recipients: 4 });
  });

  test('keeps what buckets of one minute held, none of which leaves earlier', () => {
    const minutes = Array.from({ length: 1441 }, (_, i) => ({ ...ONE, leavesAt: now() + i * MINUTE }));
    const usage = mergeBuckets(minutes);
    expect(usage.length).toBeLessThanOrEqual(146);
    for (const at of [0, 7, 333, 1440].map((minute) => now() + minute * MINUTE)) {
      const before = minutes.filter(({ leavesAt }) => leavesAt > at).length;
      expect(totalUsage(usage, at).messages).toBeGreaterThanOrEqual(before);
      expect(totalUsage(usage, at).messages).toBeLessThanOrEqual(before + 10);
    }
  });

  test('yields the buckets that differ, and those that are gone as empty ones', () => {
    const change = fc.constantFrom<'keep' | 'add' | 'drop' | 'grow'>('keep', 'add', 'drop', 'grow');
    fc.assert(
      fc.property(fc.array(change, { maxLength: 20 }), (changes) => {
        const [before, after]: [Usage, Usage] = [[], []];
        for (const [leavesAt, kind] of changes.entries()) {
          if (kind !== 'add') before.push({ leavesAt, ...ONE });
          if (kind !== 'drop') after.push({ leavesAt, messages: kind === 'grow' ? 9 : 1, recipients: 2 });
        }
        const merged = new Map(copyUsage(before).map((bucket) => [bucket.leavesAt, bucket]));
        const changed = changedBuckets(before, after);
        expect(changed).toHaveLength(changes.filter((kind) => kind !== 'keep').length);
        for (const bucket of changed) merged.set(bucket.leavesAt, bucket);
        const result = [...merged.values()].filter(({ messages }) => messages > 0);
        expect(result.toSorted((a, b) => a.leavesAt - b.leavesAt)).toEqual(after);
      }),
    );
  });
});
