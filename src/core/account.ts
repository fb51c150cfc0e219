import type { DeliveryError } from './delivery.ts';
import type { Events } from './events.ts';
import type { Fault } from './ports.ts';

/** How long a paused account waits before its 1st, 2nd, … probe, where the reply does not say. */
const PROBE_AFTER_MS = [60_000, 120_000, 300_000, 600_000, 900_000] as const;

/** Why nothing may be sent now, and for how long. */
export interface Pause {
  readonly error: DeliveryError;
  readonly forMs: number;
}

/** Leave to make one attempt. It must end in `settle` or `release`. */
export interface Permit {
  /** The server let us in: others need not wait for this attempt to end. */
  proven(): void;
  /** Says how the attempt went; answers with the pause it caused, if the fault was the account's. */
  settle(fault: Fault | null): Pause | null;
  /** No attempt was made after all. */
  release(): void;
}

/**
 * The sending account: lets attempts pass, or holds them back.
 *
 *     unproven ─▶ ready ◀─▶ paused
 *
 * Before the first login has worked, and while a fault of the account lasts, one attempt at a time goes out as a probe and the others wait for
 * what it finds: a refused login is never repeated by every lane. A paused account is probed by the next message once its wait is over.
 */
export interface Account {
  readonly user: string;
  /** Resolves when it is known whether an attempt may be made now. */
  admit(): Promise<{ readonly permit: Permit } | { readonly pause: Pause }>;
}

export function createAccount(user: string, options: { events: Events; backoffScale: number }): Account {
  const { events, backoffScale } = options;
  let state: 'unproven' | 'ready' | 'paused' = 'unproven';
  let paused: { error: DeliveryError; until: number } | null = null;
  let failures = 0;
  let probe: PromiseWithResolvers<void> | null = null;

  function endProbe() {
    probe?.resolve();
    probe = null;
  }

  function pause(fault: Fault, wasProbe: boolean) {
    // Attempts that were under way when the account was paused fail for the same reason and say nothing new.
    if (wasProbe || state !== 'paused') failures += 1;
    const steps = fault.backoffMs ?? PROBE_AFTER_MS;
    const waitMs = Math.round((steps[Math.min(failures, steps.length) - 1] ?? 0) * backoffScale);
    const until = Math.max(paused?.until ?? 0, performance.now() + waitMs);
    state = 'paused';
    paused = { error: fault.error, until };
    events.emit('account.paused', user, fault.error, Date.now() + (until - performance.now()));
  }

  function resume() {
    const wasPaused = state === 'paused';
    state = 'ready';
    paused = null;
    failures = 0;
    if (wasPaused) events.emit('account.resumed', user);
  }

  function currentPause(): Pause | null {
    const forMs = paused ? Math.ceil(paused.until - performance.now()) : 0;
    return paused && forMs > 0 ? { error: paused.error, forMs } : null;
  }

  function permit(isProbe: boolean): Permit {
    let open = isProbe;
    const close = () => {
      if (open) endProbe();
      open = false;
    };
    return {
      proven() {
        // A paused account is not healed by a login alone: the daily limit is told only after it.
        if (state !== 'unproven') return;
        state = 'ready';
        close();
      },
      settle(fault) {
        if (fault?.scope === 'account') pause(fault, isProbe);
        else if (fault?.scope !== 'connection' && isProbe) resume();
        close();
        return fault?.scope === 'account' ? { error: fault.error, forMs: currentPause()?.forMs ?? 0 } : null;
      },
      release: close,
    };
  }

  return {
    user,
    async admit() {
      for (;;) {
        if (state === 'ready') return { permit: permit(false) };
        const pause = currentPause();
        if (pause) return { pause };
        if (!probe) {
          probe = Promise.withResolvers<void>();
          return { permit: permit(true) };
        }
        await probe.promise;
      }
    },
  };
}
