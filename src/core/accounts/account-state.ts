import type { DeliveryError } from '../delivery/delivery.ts';
import type { Fault } from '../delivery/outcome.ts';
import { type Allowance, type Count, emptyQuota, type Quota, type QuotaBook, quotaIn } from '../quota.ts';
import { type Gate, type GateBook, gateIn, newGate, newReach, type Pause } from './circuit-breaker.ts';
import { type Concurrency, type ConcurrencyBook, concurrencyIn } from './concurrency-limit.ts';
import { type Members, present, seatsFor } from './connection-shares.ts';
import { emptyPace, type Pace, type PaceBook, paceIn, UNPACED } from './rate-limiter.ts';

const MINUTE = 60_000;
/** How long a paused account waits before its 1st, 2nd, … probe, where the reply does not say. */
const PROBE_AFTER_MS = [1, 2, 5, 10, 15].map((minutes) => minutes * MINUTE);
/**
 * The same for the daily limit. The window is rolling, and others may send as this account: Gmail is asked when something frees by our count, but no
 * sooner than this, and each hour at the latest.
 */
const ASK_AFTER_MS = [1, 15, 30, 60].map((minutes) => minutes * MINUTE);
const ASK_AT_LATEST_MS = 60 * MINUTE;

/**
 * The same while no server can be reached. It costs no login, and what waits must go out soon after the server is back. Also the upper limit of what a
 * reply suggests.
 */
const REACH_AFTER_MS = [5, 10, 20, 40, 80, 160, 300].map((seconds) => seconds * 1000);
const REACH_AT_LATEST_MS = 5 * MINUTE;
/** From this failure in a row on, operators are notified: the first alone may be a connection that broke by chance. */
const NOTIFY_AT = 2;

/** What a login does not meet: it is told only to who sends. */
const LIMITS: readonly string[] = ['daily_limit_reached', 'throttled'];

/** What all instances know of an account, as it is kept: plain JSON. */
export interface AccountBook {
  readonly gate: GateBook;
  readonly quota: QuotaBook;
  readonly pace: PaceBook;
  readonly concurrency: ConcurrencyBook;
  readonly members: Members;
  /** The instance that has a probe under way. */
  probe: string | null;
  /** When somebody asked for a probe last. */
  askedAt: number;
}

export function newAccountBook(now: number): AccountBook {
  return {
    gate: newGate(),
    quota: emptyQuota(now),
    pace: emptyPace(),
    concurrency: { slowdown: null },
    members: {},
    probe: null,
    askedAt: 0,
  };
}

export interface AccountRules {
  readonly allowance: Allowance;
  /** Messages per second; null: no limit. */
  readonly rate: number | null;
  /** Of all instances together. */
  readonly connections: number;
  /** Of this one. */
  readonly connectionsHere: number;
  /** Multiplies every wait: 1, or less to make tests quick. */
  readonly backoffScale: number;
  /** The name of this instance, unlike that of any other. */
  readonly me: string;
  /** How long it is taken to be there without saying so again. */
  readonly presentForMs: number;
  /** Epoch ms by the clock of the books. */
  readonly now: () => number;
}

/** What became of an account's pause. */
export interface Paused extends Pause {
  /** It was not paused before, or for another reason. */
  readonly isNews: boolean;
  /** Operators are not notified: it may be one connection that broke by chance, or they know already. */
  readonly isQuiet: boolean;
}

/** An account's book, opened: what it says, and what may be written into it. */
export interface Desk {
  readonly gate: Gate;
  /** Whether this instance reaches a server. */
  readonly reach: Gate;
  /** This instance does not, while another does. */
  readonly isCutOff: boolean;
  readonly quota: Quota;
  readonly pace: Pace;
  readonly concurrency: Concurrency;
  /** Whether this instance is taken to be there. Its seats may be others' if it is not. */
  readonly isPresent: boolean;
  /** Attempts under way, of all instances. */
  readonly busy: number;
  readonly isProbed: boolean;
  /** Whether whoever goes next must go alone. */
  readonly needsProbe: boolean;
  /** One attempt begins. */
  admit(recipients: number): void;
  /** The server has seen its message by now. */
  seen(): void;
  /** The server never will. */
  unseen(): void;
  /** It has ended. */
  dismiss(recipients: number): void;
  /** Somebody asks for a probe, which is done once in so long. Answers how long it must wait, in ms: 0 if it is done now. */
  ask(onceInMs: number): number;
  beginProbe(): void;
  endProbe(): void;
  /** The first login has worked. */
  prove(): void;
  pauseFor(fault: Fault, wasProbe: boolean): Paused;
  /** This instance got no session. */
  lose(fault: Fault, wasProbe: boolean): Paused;
  /** This instance got a session. Returns whether it had been unable to for long enough that operators were notified. */
  regain(): boolean;
  /** Answers whether it was paused. */
  resume(): boolean;
  /** The server lets us in: that says nothing of limits, and there the next message is the probe. Answers whether it was paused, and is not now. */
  letIn(): boolean;
  /**
   * Says that this instance is there, and takes the seats that fall to it; those who have gone make room. Answers how many it may use.
   *
   * @param open connections that it still has
   */
  renew(open: number): number;
  /**
   * A process has started: what kept the account from logging in may have been mended, and is tried again. If nobody else is there, what was under
   * way is over.
   *
   * @param isAlone whether it is known that nobody else can be there
   */
  restart(isAlone: boolean): void;
  leave(): void;
}

export function openDesk(book: AccountBook, rules: AccountRules): Desk {
  const { allowance, rate, connections, connectionsHere, backoffScale, me, presentForMs, now } = rules;
  const { members } = book;
  const mine = members[me] ?? { seats: 0, until: 0, messages: 0, recipients: 0, starting: 0 };
  const there = present(members, now());
  const held: Count = { messages: 0, recipients: 0 };
  let starting = 0;
  for (const member of there) {
    held.messages += member.messages;
    held.recipients += member.recipients;
    starting += member.starting;
  }
  const gate = gateIn(book.gate, now);
  const reachBook = mine.reach ?? newReach();
  const reach = gateIn(reachBook, now);
  const quota = quotaIn(book.quota, { allowance, held, now, backoffScale });
  const pace = rate === null ? UNPACED : paceIn(book.pace, rate, starting, now);
  const concurrency = concurrencyIn(book.concurrency, connections);

  /** How long until the next probe, after the 1st, 2nd, … failure in a row. */
  function waitsAfter({ error, backoffMs }: Fault): number[] {
    if (error.code !== 'daily_limit_reached')
      return (backoffMs ?? PROBE_AFTER_MS).map((ms) => ms * backoffScale);
    const freesMs = quota.learn();
    return ASK_AFTER_MS.map((atLeastMs) =>
      Math.min(Math.max(atLeastMs * backoffScale, freesMs), ASK_AT_LATEST_MS * backoffScale),
    );
  }

  const desk: Desk = {
    gate,
    quota,
    concurrency,
    pace,
    isPresent: mine.until > now(),
    busy: held.messages,
    isProbed: book.probe !== null && (members[book.probe]?.until ?? 0) > now(),
    reach,
    isCutOff:
      reachBook.state === 'paused' &&
      there.some((member) => member !== mine && member.reach?.state !== 'paused'),
    needsProbe: book.gate.state !== 'ready' || reachBook.state === 'paused',
    admit(recipients) {
      mine.messages += 1;
      mine.recipients += recipients;
      mine.starting += 1;
      pace.start();
    },
    seen() {
      mine.starting = Math.max(0, mine.starting - 1);
      pace.seen();
    },
    unseen() {
      mine.starting = Math.max(0, mine.starting - 1);
    },
    dismiss(recipients) {
      mine.messages = Math.max(0, mine.messages - 1);
      mine.recipients = Math.max(0, mine.recipients - recipients);
    },
    ask(onceInMs) {
      const waitMs = Math.max(0, book.askedAt + onceInMs - now());
      if (waitMs === 0) book.askedAt = now();
      return waitMs;
    },
    beginProbe() {
      book.probe = me;
    },
    endProbe() {
      if (book.probe === me) book.probe = null;
    },
    prove() {
      if (book.gate.state !== 'unproven') return;
      gate.open();
      desk.endProbe();
    },
    pauseFor(fault, wasProbe) {
      const { error } = fault;
      const former = book.gate.paused?.error.code ?? null;
      // Attempts that were under way when the account was paused fail for the same reason and say nothing new.
      const counts = wasProbe || former === null;
      if (counts && (error.code === 'throttled' || error.code === 'login_throttled')) concurrency.throttled();
      return {
        ...gate.close(error, waitsAfter(fault), counts),
        isNews: former !== error.code,
        isQuiet: false,
      };
    },
    lose({ error, backoffMs }, wasProbe) {
      const counts = wasProbe || reachBook.paused === null;
      // While others are at work it may be one connection too many.
      if (!wasProbe && counts && held.messages > 1) concurrency.throttled();
      mine.reach = reachBook;
      const waits = (backoffMs ?? REACH_AFTER_MS).map(
        (ms) => Math.min(ms, REACH_AT_LATEST_MS) * backoffScale,
      );
      const pause = reach.close(error, waits, counts);
      const { failures } = reachBook;
      return { ...pause, isNews: counts && failures === NOTIFY_AT, isQuiet: failures < NOTIFY_AT || !counts };
    },
    regain() {
      const wasNotified = reachBook.failures >= NOTIFY_AT;
      if (!reach.open()) return false;
      concurrency.restarted();
      return wasNotified;
    },
    resume() {
      const wasPaused = gate.open();
      if (wasPaused) concurrency.restarted();
      return wasPaused;
    },
    letIn() {
      if (!isLimit(book.gate.paused?.error)) return desk.resume();
      gate.hasten();
      return false;
    },
    renew(open) {
      for (const [id, { until }] of Object.entries(members))
        if (id !== me && until <= now()) delete members[id];
      members[me] = mine;
      const seats = seatsFor(me, members, connections, connectionsHere);
      mine.seats = Math.max(seats, open);
      mine.until = now() + presentForMs;
      return seats;
    },
    restart(isAlone) {
      const error = book.gate.paused?.error;
      if (error && !isLimit(error) && error.code !== 'login_throttled') gate.hasten();
      if (!isAlone && there.some((member) => member !== mine)) return;
      book.probe = null;
      for (const id of Object.keys(members)) if (id !== me) delete members[id];
      if (book.gate.state === 'ready') book.gate.state = 'unproven';
    },
    leave() {
      delete members[me];
    },
  };
  return desk;
}

function isLimit(error: DeliveryError | undefined): boolean {
  return error !== undefined && LIMITS.includes(error.code);
}
