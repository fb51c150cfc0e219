import type { Concurrency } from './concurrency.ts';
import { type Delivery, pendingOf } from './delivery.ts';
import type { Events } from './events.ts';
import type { Pace } from './pace.ts';
import { createGate, type Pause, type PauseState } from './pause.ts';
import type { AttemptWatch, Fault, Outcome } from './ports.ts';
import { type Quota, type QuotaState, shortageOf } from './quota.ts';

const MINUTE = 60_000;
/** How long a paused account waits before its 1st, 2nd, … probe, where the reply does not say. */
const PROBE_AFTER_MS = [1, 2, 5, 10, 15].map((minutes) => minutes * MINUTE);
/**
 * The same for the daily limit. The window is rolling, and others may send as this account: Gmail is asked when something frees by our count, but no
 * sooner than this, and each hour at the latest.
 */
const ASK_AFTER_MS = [1, 15, 30, 60].map((minutes) => minutes * MINUTE);
const ASK_AT_LATEST_MS = 60 * MINUTE;

/** How often it is said that mail waits for want of quota. */
const TELL_EVERY_MS = 60 * MINUTE;

/** Leave to make one attempt. It must end in `settle` or `release`. */
export interface Permit extends AttemptWatch {
  /** Says how the attempt went; answers with the pause it caused, if the fault was the account's. */
  settle(outcome: Outcome): Pause | null;
  /** No attempt was made after all. */
  release(): void;
}

export interface AccountState {
  readonly user: string;
  /** Null if nothing is wrong. */
  readonly pause: PauseState | null;
  readonly quota: QuotaState;
  readonly connections: { readonly max: number; readonly allowed: number; readonly busy: number };
}

/**
 * A sending account: lets attempts pass, holds them back, or asks them to wait a moment.
 *
 * Before the first login has worked, and while a fault of the account lasts, one attempt at a time goes out as a probe and the others wait for
 * what it finds: a refused login is never repeated by every lane. A paused account is probed by the next message once its wait is over.
 * An account that is ready still keeps to its pace, its quota and as many connections at once as Gmail puts up with.
 */
export interface Account {
  readonly user: string;
  readonly quota: Quota;
  readonly isPaused: boolean;
  /** Resolves when the delivery may go, or when it is known that it must be put off; null if the signal is aborted first. */
  admit(delivery: Delivery, signal: AbortSignal): Promise<{ readonly permit: Permit } | { readonly pause: Pause } | null>;
  /** Whether a delivery could be admitted now or in a moment. */
  accepts(delivery: Delivery): boolean;
  /**
   * Probes without a message: `ask` says whether the server lets us in, and so does this. A probe that is under way is waited for first; null, too, if
   * the signal is aborted meanwhile.
   */
  probe(ask: () => Promise<Fault | null>, signal: AbortSignal): Promise<Fault | null>;
  state(): AccountState;
}

export interface AccountOptions {
  readonly events: Events;
  readonly quota: Quota;
  readonly pace: Pace;
  readonly concurrency: Concurrency;
  /** The number of pooled connections. */
  readonly connections: number;
  /** Multiplies every wait: 1, or less to make tests quick. */
  readonly backoffScale: number;
}

export function createAccount(user: string, options: AccountOptions): Account {
  const { events, quota, pace, concurrency, connections, backoffScale } = options;
  const gate = createGate();
  const waiting = new Set<() => void>();
  let busy = 0;
  let probing = false;
  let tellAgainAt = 0;

  /** Lets everyone who waits look again. */
  function changed() {
    for (const look of [...waiting]) look();
  }

  function untilChanged(atMostMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', look);
        waiting.delete(look);
        resolve();
      };
      const timer = atMostMs < Number.POSITIVE_INFINITY ? setTimeout(look, atMostMs) : undefined;
      signal.addEventListener('abort', look);
      waiting.add(look);
    });
  }

  function shortage(delivery: Delivery): Pause | null {
    const forMs = quota.waitMs(pendingOf(delivery).length, delivery.priority);
    return forMs > 0 ? { error: shortageOf(quota.state(), delivery.priority), forMs } : null;
  }

  /** Now and then, however many messages meet it. */
  function tellShortage({ error, forMs }: Pause) {
    const now = performance.now();
    if (now < tellAgainAt) return;
    tellAgainAt = now + TELL_EVERY_MS;
    events.emit('account.short', user, error, Date.now() + forMs);
  }

  /** How long until the next probe, after the 1st, 2nd, … failure in a row. */
  function waitsAfter({ error, backoffMs }: Fault): number[] {
    if (error.code !== 'daily_limit_reached') return (backoffMs ?? PROBE_AFTER_MS).map((ms) => ms * backoffScale);
    const freesMs = quota.learn();
    return ASK_AFTER_MS.map((atLeastMs) => Math.min(Math.max(atLeastMs * backoffScale, freesMs), ASK_AT_LATEST_MS * backoffScale));
  }

  function pauseFor(fault: Fault, wasProbe: boolean): Pause {
    const { code } = fault.error;
    // Attempts that were under way when the account was paused fail for the same reason and say nothing new.
    const news = wasProbe || gate.state !== 'paused';
    if (news && (code === 'throttled' || code === 'login_throttled')) concurrency.throttled();
    const pause = gate.close(fault.error, waitsAfter(fault), news);
    events.emit('account.paused', user, fault.error, Date.now() + pause.forMs);
    return pause;
  }

  function resume() {
    if (!gate.open()) return;
    concurrency.restarted();
    events.emit('account.resumed', user);
  }

  function issue(delivery: Delivery): Permit {
    const isProbe = gate.state !== 'ready';
    const hold = quota.hold(pendingOf(delivery).length);
    const start = pace.start();
    let open = true;
    let goneOut = false;
    busy += 1;
    probing ||= isProbe;
    let probes = isProbe;

    function endProbe() {
      if (probes) probing = false;
      probes = false;
    }

    function release() {
      if (!open) return;
      open = false;
      busy -= 1;
      endProbe();
      hold.release();
      if (goneOut) start.seen();
      else start.cancel();
      changed();
    }

    return {
      begun() {
        goneOut = true;
        // Who was let in for the first time lets the others go. A paused account is not healed by a login alone: limits are told only after it.
        if (gate.state !== 'unproven') return;
        resume();
        endProbe();
        changed();
      },
      answered() {
        start.seen();
        changed();
      },
      settle(outcome) {
        const { accepted } = outcome;
        const fault = accountFaultOf(outcome);
        // What may have been taken counts as taken.
        if (accepted.length > 0 || outcome.fault?.certain === false) hold.spend(accepted.length || pendingOf(delivery).length);
        if (accepted.length > 0) concurrency.accepted();
        let pause: Pause | null = null;
        if (fault) pause = pauseFor(fault, isProbe);
        else if (isProbe && outcome.fault?.scope !== 'connection') resume();
        release();
        return pause;
      },
      release,
    };
  }

  return {
    user,
    quota,
    get isPaused() {
      return gate.state === 'paused';
    },
    async admit(delivery, signal) {
      while (!signal.aborted) {
        const pause = gate.current();
        if (pause) return { pause };
        const lack = shortage(delivery);
        if (lack) {
          tellShortage(lack);
          return { pause: lack };
        }
        const waitMs = probing || busy >= concurrency.limit ? Number.POSITIVE_INFINITY : pace.waitMs();
        if (waitMs === 0) return { permit: issue(delivery) };
        await untilChanged(waitMs, signal);
      }
      return null;
    },
    accepts(delivery) {
      return gate.current() === null && shortage(delivery) === null;
    },
    async probe(ask, signal) {
      while (probing && !signal.aborted) await untilChanged(Number.POSITIVE_INFINITY, signal);
      if (signal.aborted) return null;
      probing = true;
      try {
        const fault = await ask();
        if (fault?.scope === 'account') pauseFor(fault, true);
        // Limits are told only to who sends: there, the next message is the probe.
        else if (!fault && LIMITS.has(gate.told()?.error.code ?? '')) gate.hasten();
        else if (!fault) resume();
        return fault;
      } finally {
        probing = false;
        changed();
      }
    },
    state() {
      return { user, pause: gate.told(), quota: quota.state(), connections: { max: connections, allowed: concurrency.limit, busy } };
    },
  };
}

/** What a login does not meet. */
const LIMITS: ReadonlySet<string> = new Set(['daily_limit_reached', 'throttled']);

/** The account's fault, also where it was told for some of the recipients only. */
function accountFaultOf(outcome: Outcome): Fault | null {
  if (outcome.fault?.scope === 'account') return outcome.fault;
  return outcome.refused.find(({ fault }) => fault.scope === 'account')?.fault ?? null;
}
