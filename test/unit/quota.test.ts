import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Allowance, type Count, emptyQuota, quotaIn, WINDOW_MS } from '../../src/core/quota.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** That of books: it does not jump when the clock of the machine is set. */
const now = () => performance.timeOrigin + performance.now();

function aQuota(allowance: Partial<Allowance> = {}) {
  const book = emptyQuota(now());
  const open = (held: Count = { messages: 0, recipients: 0 }) =>
    quotaIn(book, { allowance: { messages: 10, recipients: 100, reserve: 0, ...allowance }, held, now });
  const quota = open();
  const send = (times: number, recipients = 1) => {
    for (let i = 0; i < times; i++) quota.count(recipients);
  };
  /** As it is while one message for so many recipients is under way. */
  const during = (recipients: number) => open({ messages: 1, recipients });
  return { quota, send, during };
}

describe('the quota of an account', () => {
  test('lets mail go up to the number of messages, and again when the oldest is 24 h old', () => {
    const { quota, send } = aQuota();
    send(4);
    vi.advanceTimersByTime(HOUR);
    send(6);
    const waitMs = quota.waitMs(1, 'normal');
    expect(waitMs).toBeGreaterThanOrEqual(WINDOW_MS - HOUR);
    expect(waitMs).toBeLessThanOrEqual(WINDOW_MS - HOUR + MINUTE);
    expect(quota.state().freesAt).toBe(Date.now() + waitMs);
    vi.advanceTimersByTime(waitMs);
    expect(quota.waitMs(1, 'normal')).toBe(0);
    expect(quota.budget('normal').left).toBe(4);
  });

  test('counts recipients as well, and waits until there is room for all of a message', () => {
    const { quota, send } = aQuota();
    send(1, 30);
    vi.advanceTimersByTime(HOUR);
    send(1, 60);
    expect(quota.waitMs(10, 'normal')).toBe(0);
    expect(quota.waitMs(11, 'normal')).toBeLessThanOrEqual(WINDOW_MS - HOUR + MINUTE);
    expect(quota.waitMs(41, 'normal')).toBeGreaterThan(WINDOW_MS - MINUTE);
    expect(quota.state()).toMatchObject({
      messages: { limit: 10, used: 2 },
      recipients: { limit: 100, used: 90 },
    });
  });

  test('keeps a part for what is urgent', () => {
    const { quota, send } = aQuota({ reserve: 0.2 });
    send(8);
    expect([quota.budget('normal').left, quota.budget('high').left]).toEqual([0, 2]);
    expect(quota.waitMs(1, 'normal')).toBeGreaterThan(0);
    expect(quota.waitMs(1, 'high')).toBe(0);
    send(2);
    expect(quota.waitMs(1, 'high')).toBeGreaterThan(0);
  });

  test('counts what is under way for as long as it is', () => {
    const { quota, during } = aQuota({ messages: 1 });
    expect(during(1).waitMs(1, 'normal')).toBeGreaterThan(0);
    expect(during(1).budget('normal').left).toBe(0);
    expect(quota.waitMs(1, 'normal')).toBe(0);
    expect(quota.state().messages.used).toBe(0);
  });

  test('counts the recipients of what is under way', () => {
    const { during } = aQuota();
    expect(during(90).waitMs(10, 'normal')).toBe(0);
    expect(during(90).waitMs(11, 'normal')).toBeGreaterThan(0);
  });

  test('takes back what was counted last', () => {
    const { quota, send } = aQuota({ messages: 1 });
    send(1, 7);
    quota.uncount(7);
    expect(quota.waitMs(1, 'normal')).toBe(0);
    expect(quota.state()).toMatchObject({ messages: { used: 0 }, recipients: { used: 0 } });
  });

  test('lets a message that is larger than the whole budget go when nothing else is counted', () => {
    const { quota, send } = aQuota({ recipients: 50 });
    expect(quota.waitMs(80, 'normal')).toBe(0);
    send(1);
    expect(quota.waitMs(80, 'normal')).toBeGreaterThan(0);
  });

  test('says since when it counts', () => {
    const startedAt = Date.now();
    const { quota } = aQuota();
    vi.advanceTimersByTime(HOUR);
    expect(quota.state()).toMatchObject({ countedSince: startedAt, freesAt: null });
  });
});

describe('a limit that Gmail shows to be lower', () => {
  test('is learned: mail keeps below it from then on', () => {
    const { quota, send } = aQuota();
    send(4);
    expect(quota.learn()).toBeGreaterThan(WINDOW_MS - MINUTE);
    expect(quota.state().messages).toEqual({ limit: 10, learned: 4, used: 4 });
    expect(quota.waitMs(1, 'high')).toBe(HOUR);
    expect(quota.budget('high').left).toBe(0);
  });

  test('is tried by one message an hour later, and forgotten when that is accepted', () => {
    const { quota, send, during } = aQuota();
    send(4);
    quota.learn();
    vi.advanceTimersByTime(HOUR);
    expect(quota.waitMs(1, 'normal')).toBe(0);
    expect(during(1).waitMs(1, 'normal')).toBeGreaterThan(0);
    quota.count(1);
    expect(quota.state().messages).toEqual({ limit: 10, learned: null, used: 5 });
    expect(quota.waitMs(1, 'normal')).toBe(0);
  });

  test('is learned again when that is refused, and asked about an hour later once more', () => {
    const { quota, send } = aQuota();
    send(4);
    quota.learn();
    vi.advanceTimersByTime(HOUR);
    quota.learn();
    expect(quota.waitMs(1, 'normal')).toBe(HOUR);
  });

  test('never lets the configured limit be exceeded', () => {
    const { quota, send } = aQuota();
    send(10);
    quota.learn();
    vi.advanceTimersByTime(2 * HOUR);
    expect(quota.waitMs(1, 'high')).toBeGreaterThan(HOUR);
  });
});

test('whatever is sent and whenever, no 24 hours hold more than the limits, and a message that waited as told goes', () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 0, max: 4 * HOUR }),
    recipients: fc.integer({ min: 1, max: 20 }),
    high: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
      const allowance = { messages: 12, recipients: 60, reserve: 0.25 };
      const { quota } = aQuota(allowance);
      const sent: { at: number; recipients: number }[] = [];
      for (const { afterMs, recipients, high } of steps) {
        vi.advanceTimersByTime(afterMs);
        const priority = high ? 'high' : 'normal';
        vi.advanceTimersByTime(quota.waitMs(recipients, priority));
        expect(quota.waitMs(recipients, priority)).toBe(0);
        quota.count(recipients);
        sent.push({ at: performance.now(), recipients });
        const day = sent.filter(({ at }) => at > performance.now() - WINDOW_MS);
        expect(day.length).toBeLessThanOrEqual(allowance.messages);
        expect(day.reduce((sum, one) => sum + one.recipients, 0)).toBeLessThanOrEqual(allowance.recipients);
      }
    }),
    { numRuns: 50 },
  );
});
