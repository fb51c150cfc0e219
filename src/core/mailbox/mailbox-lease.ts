import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { SharedState, SharedValue } from '../ports/shared-state.ts';
import { SECOND } from '../time.ts';

/** Heartbeats within the time after which a silent instance counts as gone. */
const HEARTBEATS = 5;
/** Maximum interval between two looks at a lease that another instance holds, in ms. */
const MAX_RECHECK_MS = 2 * SECOND;

/**
 * The right of one instance to connect to the mailbox of an account. It is taken at the first use,
 * renewed by a heartbeat, and taken over once the instance is gone.
 */
export interface MailboxLease {
  /**
   * Takes the lease and holds it. Returns false if another instance holds it.
   *
   * @throws {AppError} `queue_unavailable`
   */
  acquire(): Promise<boolean>;
  /** Resolves when no other instance is known to hold the lease, or the signal is aborted. */
  waitUntilFree(signal: AbortSignal): Promise<void>;
  /** Resolves when this instance does not hold the lease any more, or the signal is aborted. */
  waitUntilLost(signal: AbortSignal): Promise<void>;
  /** Gives the lease back. */
  release(): Promise<void>;
}

export interface MailboxLeaseOptions {
  readonly user: string;
  readonly sharedState: SharedState;
  /** Time without a heartbeat after which an instance counts as gone, in ms. */
  readonly absentAfterMs: number;
}

/** The lease as all instances know it: plain JSON. */
interface LeaseState {
  /** The instance that holds it. Null: none. */
  holder: string | null;
  /** Epoch ms by the shared clock. */
  expiresAt: number;
}

export function createMailboxLease({ user, sharedState, absentAfterMs }: MailboxLeaseOptions): MailboxLease {
  if (!sharedState.shared)
    return {
      acquire: async () => true,
      waitUntilFree: async () => {},
      waitUntilLost: untilAborted,
      release: async () => {},
    };
  const { now } = sharedState;
  const instance = randomUUID();
  let value: SharedValue<LeaseState> | null = null;
  let timer: NodeJS.Timeout | undefined;

  const recheckMs = Math.min(MAX_RECHECK_MS, absentAfterMs / HEARTBEATS);

  function isHeldElsewhere({ holder, expiresAt }: LeaseState): boolean {
    return holder !== null && holder !== instance && expiresAt > now();
  }

  async function acquire(): Promise<boolean> {
    value ??= await sharedState.open<LeaseState>(`mailbox:${user}`, () => ({ holder: null, expiresAt: 0 }));
    const isHeld = await value.change((lease) => {
      if (isHeldElsewhere(lease)) return false;
      lease.holder = instance;
      lease.expiresAt = now() + absentAfterMs;
      return true;
    });
    if (isHeld) timer ??= setInterval(() => void beat().catch(() => {}), absentAfterMs / HEARTBEATS);
    return isHeld;
  }

  /** Renews the lease, unless another instance has taken it over. */
  async function beat(): Promise<void> {
    if (!(await acquire())) stopBeating();
  }

  function stopBeating() {
    clearInterval(timer);
    timer = undefined;
  }

  return {
    acquire,
    async waitUntilFree(signal) {
      while (!signal.aborted && value !== null && isHeldElsewhere(value.value)) {
        await delay(recheckMs, undefined, { signal }).catch(() => {});
        await value.read().catch(() => {});
      }
    },
    async waitUntilLost(signal) {
      // Without a backend, the heartbeat is missing: another instance takes the lease over.
      const isHeld = () => value?.value.holder === instance && value.value.expiresAt > now();
      while (!signal.aborted && isHeld()) await delay(recheckMs, undefined, { signal }).catch(() => {});
    },
    async release() {
      stopBeating();
      if (value?.value.holder !== instance) return;
      await value.change((lease) => {
        if (lease.holder === instance) lease.holder = null;
      });
    },
  };
}

function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
