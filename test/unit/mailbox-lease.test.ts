import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { createMailboxLease } from '../../src/core/mailbox/mailbox-lease.ts';
import type { SharedState } from '../../src/core/ports/shared-state.ts';
import { shareValue } from '../helpers/shared-state.ts';

const ABSENT_AFTER_MS = 1000;
const never = new AbortController().signal;

/** Returns the leases of two instances that share a mailbox. */
function startInstances() {
  const shared = shareValue({ holder: null, expiresAt: 0 });
  const sharedState = {
    shared: true,
    now: Date.now,
    open: async () => shared.open(),
  } as unknown as SharedState;
  const options = { user: 'bot@acme.com', sharedState, absentAfterMs: ABSENT_AFTER_MS };
  return { one: createMailboxLease(options), other: createMailboxLease(options), shared };
}

describe('the lease of a mailbox', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] }));
  afterEach(() => void vi.useRealTimers());

  test('is held by one instance at a time, and renewed while it runs', async () => {
    const { one, other } = startInstances();
    expect([await one.acquire(), await other.acquire(), await one.acquire()]).toEqual([true, false, true]);
    await vi.advanceTimersByTimeAsync(10 * ABSENT_AFTER_MS);
    expect(await other.acquire()).toBe(false);
    await one.release();
    expect([await other.acquire(), await one.acquire()]).toEqual([true, false]);
    await other.release();
  });

  test('is taken over once its holder is gone', async () => {
    const { one, other } = startInstances();
    await one.acquire();
    // Its heartbeat is missing.
    vi.setSystemTime(Date.now() + ABSENT_AFTER_MS);
    expect(await other.acquire()).toBe(true);
    await vi.advanceTimersByTimeAsync(ABSENT_AFTER_MS / 5);
    expect(await one.acquire()).toBe(false);
    // An instance that has lost it does not give back that of another.
    await one.release();
    expect([await one.acquire(), await other.acquire()]).toEqual([false, true]);
    await other.release();
  });

  test('is lost once its heartbeat is missing for too long; an aborted wait ends', async () => {
    const { one, other } = startInstances();
    const lost: string[] = [];
    await one.acquire();
    void one.waitUntilLost(never).then(() => lost.push('one'));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(lost).toEqual([]);
    vi.setSystemTime(Date.now() + ABSENT_AFTER_MS);
    await vi.waitFor(() => expect(lost).toEqual(['one']));
    await other.acquire();
    const stop = new AbortController();
    void other.waitUntilLost(stop.signal).then(() => lost.push('other'));
    stop.abort();
    await vi.waitFor(() => expect(lost).toEqual(['one', 'other']));
    await other.release();
  });

  test('is waited for only while another instance holds it', async () => {
    const { one, other } = startInstances();
    await one.waitUntilFree(never);
    await one.acquire();
    await one.waitUntilFree(never);
    await other.acquire();
    let isFree = false;
    const waiting = other.waitUntilFree(never).then(() => {
      isFree = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isFree).toBe(false);
    await one.release();
    await waiting;
    await one.acquire();
    await other.acquire();
    await other.waitUntilFree(AbortSignal.timeout(20));
    await one.release();
  });

  test('is always free for the only instance', async () => {
    const sharedState = createMemorySharedState();
    const options = { user: 'bot@acme.com', sharedState, absentAfterMs: ABSENT_AFTER_MS };
    const lease = createMailboxLease(options);
    expect(await lease.acquire()).toBe(true);
    await lease.waitUntilFree(never);
    await lease.release();
  });
});
