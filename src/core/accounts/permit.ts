import type { Outcome } from '../delivery/outcome.ts';
import type { AttemptObserver } from '../ports/transport.ts';
import { retryInBackground, retryUntilAvailable } from '../retry-until-available.ts';
import type { AccountReporter } from './account-events.ts';
import type { AccountChange } from './account-faults.ts';
import { type AccountRules, confirmLogin } from './account-state.ts';
import type { AccountStore, FollowUp } from './account-store.ts';
import { type AttemptStage, commitAttempt, endAttempt, settleAttempt } from './attempt.ts';
import type { Pause } from './circuit-breaker.ts';

/** Permission to make one attempt. It must end in `settle` or `release`. */
export interface Permit extends AttemptObserver {
  /**
   * Records the outcome.
   *
   * @param end Returns the end of the attempt, given the pause that the outcome caused. It is
   *   stored in the same step.
   */
  settle(outcome: Outcome, end?: FollowUp<Pause | null>): Promise<SettledAttempt>;
  /** Ends the attempt without an outcome. Does nothing after `settle`. */
  release(): Promise<void>;
}

export interface SettledAttempt {
  /** The pause that the outcome caused, if the fault was the account's. */
  readonly pause: Pause | null;
  /** Whether the end of the attempt is stored. Null if there was none to store. */
  readonly isStored: boolean | null;
}

export interface PermitOptions {
  readonly recipients: number;
  readonly isProbe: boolean;
  readonly rules: AccountRules;
  readonly store: AccountStore;
  readonly reporter: Pick<AccountReporter, 'withNotices' | 'announce'>;
}

export function createPermit({ recipients, isProbe, rules, store, reporter }: PermitOptions): Permit {
  let stage: AttemptStage = 'admitted';
  let isProbing = isProbe;

  /** Returns the attempt as it was until now. */
  function end() {
    const attempt = { stage, recipients, isProbing };
    stage = 'ended';
    isProbing = false;
    return attempt;
  }

  return {
    messageStarted() {
      stage = 'started';
    },
    envelopeAccepted() {
      // The first session that works lets other attempts pass. A login alone does not: the server
      // may end each session right after it. Nor does the session resume a paused account: Gmail
      // reports sending limits only later.
      const confirms = isProbing && store.state.breaker.state === 'half-open';
      const commits = rules.rate !== null;
      if (confirms) isProbing = false;
      if (commits) stage = 'committed';
      if (!confirms && !commits) return;
      retryInBackground(() =>
        store.changeAndNotify((state, _usage, now) => {
          if (confirms) confirmLogin(state, rules);
          if (commits) commitAttempt(state, rules, now);
        }),
      );
    },
    async settle(outcome, followUp) {
      const attempt = { ...end(), outcome, wasProbe: isProbe, endedAt: Date.now() };
      const edit = reporter.withNotices((state, usage, now) =>
        settleAttempt(state, usage, rules, now, attempt),
      );
      const { result: change, isStored } = followUp
        ? await store.changeWith(edit, {
            ...followUp,
            changeOf: (change) => followUp.changeOf(pauseOf(change)),
          })
        : { result: await retryUntilAvailable(() => store.change(edit)), isStored: null };
      store.notify();
      reporter.announce(change);
      return { pause: pauseOf(change), isStored };
    },
    async release() {
      if (stage === 'ended') return;
      const attempt = end();
      await retryUntilAvailable(() =>
        store.changeAndNotify((state, _usage, now) => endAttempt(state, rules, now, attempt)),
      );
    },
  };
}

function pauseOf(change: AccountChange): Pause | null {
  return change.kind === 'paused' ? change.pause : null;
}
