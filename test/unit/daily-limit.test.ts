import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Job, Outcome } from '../../src/core/delivery/outcome.ts';
import { HOUR, MINUTE } from '../../src/core/time.ts';
import { WINDOW_MS } from '../../src/core/usage.ts';
import { type Core, startCore } from '../helpers/core.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';

const DAILY_LIMIT = aFailure(aFault('daily_limit_reached', { scope: 'account', backoffMs: [HOUR] }));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** A Gmail that accepts `perDay` messages in a rolling 24 h, whatever Outtray has counted. */
function aGmail(perDay: number) {
  const accepted: number[] = [];
  let refused = 0;
  return {
    get accepted() {
      return accepted.length;
    },
    get refused() {
      return refused;
    },
    send(job: Job): Outcome {
      const day = accepted.filter((at) => at > performance.now() - WINDOW_MS).length;
      if (day >= perDay) {
        refused += 1;
        return DAILY_LIMIT;
      }
      accepted.push(performance.now());
      return anAcceptance(job.recipients);
    },
  };
}

async function pass(ms: number, stepMs = MINUTE): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    await vi.advanceTimersByTimeAsync(stepMs);
    await nextTurn();
  }
  // Workers that defer mail yield to the event loop after each message.
  for (let i = 0; i < 300; i++) await nextTurn();
}

async function statuses(core: Core, ids: readonly string[]): Promise<Record<string, number>> {
  const count: Record<string, number> = {};
  for (const id of ids) {
    const { status } = (await core.store.get(id)) ?? { status: 'lost' };
    count[status] = (count[status] ?? 0) + 1;
  }
  return count;
}

async function queue(
  core: Core,
  count: number,
  patch: Parameters<Core['accept']>[0] = {},
): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) ids.push((await core.accept(patch)).id);
  return ids;
}

const REAL = { backoffScale: 1, workers: 3, retryForMs: 24 * HOUR, retainMs: 30 * 24 * HOUR };

describe('the daily limit over several days', () => {
  test('fails no message when Gmail reports it: all are sent as slots free up', async () => {
    const gmail = aGmail(100);
    await using core = startCore(gmail.send, {
      ...REAL,
      allowance: { messages: 2000, recipients: 10_000, reserve: 0.1 },
    });
    const ids = await queue(core, 250);
    await pass(5 * MINUTE);
    expect(await statuses(core, ids)).toEqual({ sent: 100, deferred: 150 });
    const waiting = await core.store.get(ids[249] ?? '');
    expect(waiting).toMatchObject({
      attempts: [],
      error: { code: 'daily_limit_reached' },
      nextAttemptAt: expect.any(Number),
    });

    await pass(23 * HOUR);
    expect(await statuses(core, ids)).toEqual({ sent: 100, deferred: 150 });
    expect(gmail.refused).toBeLessThanOrEqual(3 + 25);

    await pass(2 * HOUR);
    expect(await statuses(core, ids)).toEqual({ sent: 200, deferred: 50 });
    await pass(25 * HOUR);
    expect(await statuses(core, ids)).toEqual({ sent: 250 });
    expect(gmail.accepted).toBe(250);
    // At most one probe an hour, besides the attempts under way at the first refusal.
    expect(gmail.refused).toBeLessThanOrEqual(3 + 51);
  });

  test('is probed when a slot frees up by our count, if that is within the hour, and not every minute from then on', async () => {
    const gmail = aGmail(0);
    let full = false;
    await using core = startCore((job) => (full ? gmail.send(job) : anAcceptance(job.recipients)), REAL);
    await queue(core, 1);
    await pass(23 * HOUR + 50 * MINUTE);
    full = true;
    await queue(core, 1);
    await pass(MINUTE);
    expect(gmail.refused).toBe(1);
    const until = (await core.accounts.list())[0]?.pause?.until ?? 0;
    expect((until - Date.now()) / MINUTE).toBeGreaterThan(8);
    expect((until - Date.now()) / MINUTE).toBeLessThan(22);
    await pass(3 * HOUR);
    expect(gmail.refused).toBeLessThanOrEqual(5);
  });

  test('is never reported by Gmail if it is configured, and leaves a reserve for high priority', async () => {
    const gmail = aGmail(50);
    await using core = startCore(gmail.send, {
      ...REAL,
      allowance: { messages: 50, recipients: 500, reserve: 0.1 },
    });
    const ids = await queue(core, 60);
    await pass(5 * MINUTE);
    expect(await statuses(core, ids)).toEqual({ sent: 45, deferred: 15 });
    const waiting = await core.store.get(ids[59] ?? '');
    expect(waiting?.error).toMatchObject({
      code: 'daily_limit_reached',
      scope: 'account',
      detail: expect.stringContaining('45 of 50'),
    });
    expect(waiting?.nextAttemptAt).toBeGreaterThan(Date.now() + 23 * HOUR);
    expect((await core.accounts.list())[0]?.pause).toBeNull();

    const urgent = await queue(core, 7, { priority: 'high' });
    await pass(MINUTE);
    expect(await statuses(core, urgent)).toEqual({ sent: 5, deferred: 2 });

    await pass(25 * HOUR);
    expect(await statuses(core, [...ids, ...urgent])).toEqual({ sent: 67 });
    expect(gmail.refused).toBe(0);
  });

  test('releases a waiting request at once when its message has to wait for quota', async () => {
    const gmail = aGmail(1);
    await using core = startCore(gmail.send, {
      ...REAL,
      allowance: { messages: 1, recipients: 500, reserve: 0 },
    });
    await queue(core, 1);
    await pass(MINUTE);
    const [id = ''] = await queue(core, 1);
    expect(await core.waiters.wait(id, 60_000, new AbortController().signal)).toBeNull();
    expect(await core.store.get(id)).toMatchObject({
      status: 'deferred',
      error: { code: 'daily_limit_reached' },
    });
  });
});
