import { type AccountRules, isCutOff, reachOf, removeExpiredLeases, removeLease } from './account-state.ts';
import type { AccountStore } from './account-store.ts';
import { pauseOf } from './circuit-breaker.ts';
import { renewLease } from './connection-shares.ts';

/** Keeps the lease of this instance alive, and with it its share of the account's connections. */
export interface LeaseHeartbeat {
  /** Takes the lease. Renews it at this interval if there may be other instances. */
  start(intervalMs: number): Promise<void>;
  /** Gives the lease back. */
  stop(): Promise<void>;
  /**
   * Resolves when there is a connection for the worker with this number, counted from 0, or the
   * signal is aborted.
   */
  waitForConnection(worker: number, signal: AbortSignal): Promise<void>;
}

export interface LeaseHeartbeatOptions {
  readonly store: AccountStore;
  readonly rules: AccountRules;
  /** Closes idle connections until no more than `atMost` are open. Returns how many are open. */
  readonly closeIdleConnections: (atMost: number) => number;
}

export function createLeaseHeartbeat(options: LeaseHeartbeatOptions): LeaseHeartbeat {
  const { store, rules, closeIdleConnections } = options;
  /** Connections that this instance may use. */
  let share = 0;
  let timer: NodeJS.Timeout | undefined;

  const renew = (open: number) =>
    store.change((state, _usage, now) => {
      removeExpiredLeases(state, rules, now);
      return renewLease(state.leases, rules, open, now);
    });

  async function beat(): Promise<void> {
    const open = closeIdleConnections(share);
    share = await renew(open);
    store.notify();
    // Connections that are closed now make room for other instances now.
    if (open > share) await renew(closeIdleConnections(share));
  }

  return {
    async start(intervalMs) {
      await beat();
      if (store.shared) timer = setInterval(() => void beat().catch(() => {}), intervalMs);
    },
    async stop() {
      clearInterval(timer);
      await store.change((state) => removeLease(state, rules.instance));
    },
    async waitForConnection(worker, signal) {
      while (!signal.aborted) {
        const since = store.changes;
        if (worker < share && !leavesToOthers(worker, store, rules)) return;
        await store.waitForChange(since, Number.POSITIVE_INFINITY, signal);
      }
    },
  };
}

/**
 * Whether an instance that is cut off leaves the mail to the others. Its first worker probes now
 * and then.
 */
function leavesToOthers(worker: number, { state, now }: AccountStore, rules: AccountRules): boolean {
  if (!isCutOff(state, rules.instance, now())) return false;
  return worker > 0 || pauseOf(reachOf(state, rules.instance), now()) !== null;
}
