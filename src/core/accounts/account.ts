import { randomUUID } from 'node:crypto';
import { type Delivery, namedOf, pendingOf } from '../delivery/delivery.ts';
import type { Fault, Outcome } from '../delivery/outcome.ts';
import type { Events } from '../events.ts';
import type { Priority } from '../message/message.ts';
import type { SharedState, SharedValue } from '../ports/shared-state.ts';
import type { AttemptObserver } from '../ports/transport.ts';
import { type Budget, type QuotaState, shortageOf } from '../quota.ts';
import { retryInBackground, retryUntilAvailable } from '../retry-until-available.ts';
import { type AccountBook, type AccountRules, type Desk, openDesk, type Paused } from './account-state.ts';
import type { Pause, PauseState } from './circuit-breaker.ts';
import { ABSENT_AFTER_MS } from './connection-shares.ts';

/** How often it is said that mail waits for want of quota. */
const TELL_EVERY_MS = 60 * 60_000;

/** Others may change what one waits for, and do not tell: then it is looked at again after so long. */
const LOOK_AGAIN_MS = 250;

/** In the time after which it is taken to be gone, an instance says so often that it is there. */
const RENEWALS = 7;

/** Leave to make one attempt. It must end in `settle` or `release`. */
export interface Permit extends AttemptObserver {
  /** Says how the attempt went; answers with the pause it caused, if the fault was the account's. */
  settle(outcome: Outcome): Promise<Pause | null>;
  /** No attempt was made after all. */
  release(): Promise<void>;
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
 * An account that is ready still keeps to its pace, its quota and as many connections at once as Gmail puts up with. All of this holds for all
 * instances together: they share the account's book.
 */
export interface Account {
  readonly user: string;
  readonly isPaused: boolean;
  /** For messages of this priority. */
  budget(priority: Priority): Budget;
  /** Takes its part of the connections, and keeps it. */
  join(): Promise<void>;
  /** Gives it back. */
  leave(): Promise<void>;
  /** Resolves when there is a connection for the lane of that number, or the signal is aborted. */
  waitForConnection(lane: number, signal: AbortSignal): Promise<void>;
  /** Resolves when the delivery may go, or when it is known that it must be put off; null if the signal is aborted first. */
  admit(
    delivery: Delivery,
    signal: AbortSignal,
  ): Promise<{ readonly permit: Permit } | { readonly pause: Pause } | null>;
  /** Whether a delivery could be admitted now or in a moment. */
  accepts(delivery: Delivery): boolean;
  /** An attempt was under way when its process ended: what may have been taken counts as taken. */
  countInterrupted(delivery: Delivery): Promise<void>;
  /** Somebody asks for a probe, which is done once in so long. Answers how long it must wait, in ms: 0 if it is to be done now. */
  requestProbe(onceInMs: number): Promise<number>;
  /**
   * Probes without a message: `ask` says whether the server lets us in, and so does this. A probe that is under way is waited for first; null, too, if
   * the signal is aborted meanwhile.
   */
  probe(ask: () => Promise<Fault | null>, signal: AbortSignal): Promise<Fault | null>;
  state(): AccountState;
  /** `state`, once it is known what other instances have done. */
  readState(): Promise<AccountState>;
}

export interface AccountOptions
  extends Pick<AccountRules, 'allowance' | 'rate' | 'connections' | 'connectionsHere' | 'backoffScale'> {
  readonly events: Events;
  readonly sharedState: Pick<SharedState, 'now' | 'shared'>;
  readonly book: SharedValue<AccountBook>;
  /** Closes connections that are free, until there are no more than so many; answers how many there are. */
  readonly keepConnections: (atMost: number) => number;
  /** {@link ABSENT_AFTER_MS}, or less to make tests quick. */
  readonly absentAfterMs?: number | undefined;
}

export function createAccount(user: string, options: AccountOptions): Account {
  const { events, sharedState, book, keepConnections, absentAfterMs = ABSENT_AFTER_MS, ...limits } = options;
  const rules: AccountRules = {
    ...limits,
    me: randomUUID(),
    presentForMs: sharedState.shared ? absentAfterMs : Number.MAX_SAFE_INTEGER,
    now: sharedState.now,
  };
  const waiting = new Set<() => void>();
  /** Grows with each change that somebody may wait for. */
  let changes = 0;
  let seats = 0;
  let renewal: NodeJS.Timeout | undefined;
  let tellAgainAt = 0;

  /** Only to look. */
  const look = () => openDesk(book.value, rules);

  function edit<Result>(write: (desk: Desk) => Result): Promise<Result> {
    return book.change((value) => write(openDesk(value, rules)));
  }

  /** Writes what may be the end of somebody's wait: everyone who waits looks again. */
  async function announce<Result>(write: (desk: Desk) => Result): Promise<Result> {
    const result = await edit(write);
    wakeAll();
    return result;
  }

  function wakeAll() {
    changes += 1;
    for (const wake of [...waiting]) wake();
  }

  /** @param since `changes` as it was before the look that told to wait: what has changed after it is not waited for again */
  function untilChanged(since: number, atMostMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (changes !== since || signal.aborted) return resolve();
      const wake = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        waiting.delete(wake);
        resolve();
      };
      const timer = atMostMs < Number.POSITIVE_INFINITY ? setTimeout(wake, atMostMs) : undefined;
      signal.addEventListener('abort', wake);
      waiting.add(wake);
    });
  }

  async function renew(): Promise<void> {
    const open = keepConnections(seats);
    seats = await edit((desk) => desk.renew(open));
    wakeAll();
    // What is closed at once makes room for others at once.
    if (open > seats) await edit((desk) => desk.renew(keepConnections(seats)));
  }

  /** Now and then, however many messages meet it. */
  function tellShortage({ error, forMs }: Pause) {
    const now = performance.now();
    if (now < tellAgainAt) return;
    tellAgainAt = now + TELL_EVERY_MS;
    events.emit('account.short', user, error, Date.now() + forMs);
  }

  function tell(paused: Paused | null, isResumed: boolean) {
    if (paused?.isQuiet) return;
    if (paused) events.emit('account.paused', user, paused.error, Date.now() + paused.forMs, paused.isNews);
    else if (isResumed) events.emit('account.resumed', user);
  }

  function issue(delivery: Delivery, isProbe: boolean): Permit {
    const recipients = pendingOf(delivery).length;
    let stage: 'started' | 'gone_out' | 'seen' | 'over' = 'started';
    let probes = isProbe;

    /** Ends it, from whatever stage it had come to. */
    function end(): (desk: Desk) => void {
      const [last, wasProbe] = [stage, probes];
      stage = 'over';
      probes = false;
      return (desk) => {
        if (last === 'gone_out') desk.seen();
        if (last === 'started') desk.unseen();
        if (wasProbe) desk.endProbe();
        desk.dismiss(recipients);
      };
    }

    return {
      messageStarted() {
        stage = 'gone_out';
      },
      envelopeAccepted() {
        // The first session that works lets the others go. A login alone is not enough: the server may end each session right after it. Nor does
        // this heal a paused account: limits are told only after it.
        const proves = probes && book.value.gate.state === 'unproven';
        if (proves) probes = false;
        if (rules.rate !== null) stage = 'seen';
        if (!proves && rules.rate === null) return;
        retryInBackground(() =>
          announce((desk) => {
            if (proves) desk.prove();
            if (rules.rate !== null) desk.seen();
          }),
        );
      },
      async settle(outcome) {
        const { accepted } = outcome;
        const fault = accountFaultOf(outcome);
        const lost = outcome.fault?.noSession ? outcome.fault : null;
        const finish = end();
        const { paused, isResumed } = await retryUntilAvailable(() =>
          announce((desk) => {
            finish(desk);
            // What may have been taken counts as taken.
            if (accepted.length > 0 || outcome.fault?.certain === false)
              desk.quota.count(accepted.length || recipients);
            if (accepted.length > 0) desk.concurrency.accepted();
            if (lost) return { paused: desk.lose(lost, isProbe), isResumed: false };
            const isRegained = desk.regain();
            const proves = isProbe && !fault && outcome.fault?.scope !== 'connection';
            const isResumed = proves && desk.resume();
            return { paused: fault && desk.pauseFor(fault, isProbe), isResumed: isResumed || isRegained };
          }),
        );
        tell(paused, isResumed);
        return paused;
      },
      async release() {
        if (stage === 'over') return;
        const finish = end();
        await retryUntilAvailable(() => announce(finish));
      },
    };
  }

  /** Whether a delivery may go now; if not, why, or how long to wait for another look. */
  function consider(desk: Desk, delivery: Delivery) {
    const pause = desk.gate.current() ?? desk.reach.current();
    if (pause) return { pause };
    const recipients = pendingOf(delivery).length;
    const forMs = desk.quota.waitMs(recipients, delivery.priority);
    if (forMs > 0) return { shortage: { error: shortageOf(desk.quota.state(), delivery.priority), forMs } };
    const isBusy = desk.isProbed || !desk.isPresent || desk.busy >= desk.concurrency.limit;
    const waitMs = isBusy ? Number.POSITIVE_INFINITY : desk.pace.waitMs();
    if (waitMs > 0) return { waitMs };
    const isProbe = desk.needsProbe;
    if (isProbe) desk.beginProbe();
    desk.admit(recipients);
    return { isProbe };
  }

  /** An instance that is cut off leaves mail to those that are not: one lane of it probes now and then. */
  function leavesToOthers(lane: number): boolean {
    const { isCutOff, reach } = look();
    return isCutOff && (lane > 0 || reach.current() !== null);
  }

  /** What it comes to by what all instances have done so far. */
  async function judge(delivery: Delivery) {
    const answer = await edit((desk) => consider(desk, delivery));
    if ('isProbe' in answer || !sharedState.shared) return answer;
    await book.read();
    return edit((desk) => consider(desk, delivery));
  }

  function state(): AccountState {
    const { gate, reach, quota, concurrency, busy } = look();
    const connections = { max: limits.connections, allowed: concurrency.limit, busy };
    return { user, pause: gate.told() ?? reach.told(), quota: quota.state(), connections };
  }

  return {
    user,
    get isPaused() {
      return book.value.gate.state === 'paused';
    },
    budget: (priority) => look().quota.budget(priority),
    async join() {
      await edit((desk) => desk.restart(!sharedState.shared));
      await renew();
      if (sharedState.shared)
        renewal = setInterval(() => void renew().catch(() => {}), absentAfterMs / RENEWALS);
    },
    async leave() {
      clearInterval(renewal);
      await edit((desk) => desk.leave());
    },
    async waitForConnection(lane, signal) {
      while (!signal.aborted) {
        const yields = leavesToOthers(lane);
        if (lane < seats && !yields) return;
        await untilChanged(changes, yields ? LOOK_AGAIN_MS : Number.POSITIVE_INFINITY, signal);
      }
    },
    async admit(delivery, signal) {
      while (!signal.aborted) {
        const since = changes;
        const answer = await judge(delivery);
        if ('isProbe' in answer) return { permit: issue(delivery, answer.isProbe) };
        if ('pause' in answer) return { pause: answer.pause };
        if ('shortage' in answer) {
          tellShortage(answer.shortage);
          return { pause: answer.shortage };
        }
        await untilChanged(
          since,
          sharedState.shared ? Math.min(answer.waitMs, LOOK_AGAIN_MS) : answer.waitMs,
          signal,
        );
      }
      return null;
    },
    accepts(delivery) {
      const { gate, reach, quota } = look();
      return (
        gate.current() === null &&
        reach.current() === null &&
        quota.waitMs(pendingOf(delivery).length, delivery.priority) === 0
      );
    },
    async countInterrupted(delivery) {
      await edit((desk) => desk.quota.count(namedOf(delivery).length));
    },
    requestProbe: (onceInMs) => edit((desk) => desk.ask(onceInMs)),
    async probe(check, signal) {
      const begin = (desk: Desk) => {
        if (desk.isProbed) return false;
        desk.beginProbe();
        return true;
      };
      for (let since = changes; !(await edit(begin)); since = changes) {
        await untilChanged(since, sharedState.shared ? LOOK_AGAIN_MS : Number.POSITIVE_INFINITY, signal);
        if (signal.aborted) return null;
        if (sharedState.shared) await book.read();
      }
      const fault = await check();
      const { paused, isResumed } = await retryUntilAvailable(() =>
        announce((desk) => {
          desk.endProbe();
          if (fault?.noSession) return { paused: desk.lose(fault, true), isResumed: false };
          const isRegained = desk.regain();
          const isResumed = fault === null && desk.letIn();
          return {
            paused: fault?.scope === 'account' ? desk.pauseFor(fault, true) : null,
            isResumed: isResumed || isRegained,
          };
        }),
      );
      tell(paused, isResumed);
      return fault;
    },
    state,
    async readState() {
      await book.read();
      return state();
    },
  };
}

/** The account's fault, also where it was told for some of the recipients only. */
function accountFaultOf(outcome: Outcome): Fault | null {
  if (outcome.fault?.scope === 'account') return outcome.fault;
  return outcome.refused.find(({ fault }) => fault.scope === 'account')?.fault ?? null;
}
