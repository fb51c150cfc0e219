import { setTimeout as delay } from 'node:timers/promises';
import type { Caller } from '../auth/caller.ts';
import { amend, type Delivery, isSettled, pendingOf } from '../delivery/delivery.ts';
import type { Lookup } from '../delivery/lookup.ts';
import { AppError } from '../errors.ts';
import type { Mailboxes } from '../mailbox/mailboxes.ts';
import type { Messages } from '../messages.ts';
import type { DeliveryStore, QueueEffect } from '../ports/delivery-store.ts';
import { SECOND } from '../time.ts';

/** Maximum wait for the end of a search, in ms. */
const WAIT_MS = 20 * SECOND;
/** Interval at which the end of a search, which another instance may make, is looked for, in ms. */
const CHECK_EVERY_MS = 200;

/** A message, and whether the search that was requested has ended. */
export interface Reconciled {
  readonly delivery: Delivery;
  readonly isSearched: boolean;
}

/** Searches Sent Mail for a message on behalf of a caller. */
export interface Reconciliation {
  /**
   * Searches now, and waits for the result for a while, or until the signal is aborted.
   *
   * @throws {AppError} `message_not_found`, `not_reconcilable`, `shutting_down`; the code of the
   *   mailbox if it cannot be searched
   */
  reconcile(id: string, caller: Caller, signal: AbortSignal): Promise<Reconciled>;
}

export interface ReconciliationDeps {
  readonly store: Pick<DeliveryStore, 'get' | 'update'>;
  readonly messages: Pick<Messages, 'get'>;
  readonly mailboxes: Pick<Mailboxes, 'get' | 'status'>;
  /** RECONCILE. */
  readonly isOn: boolean;
  readonly isDraining: () => boolean;
  /** Epoch ms by the shared clock. */
  readonly now: () => number;
}

export function createReconciliation(deps: ReconciliationDeps): Reconciliation {
  const { store, messages, mailboxes, isOn, isDraining, now } = deps;

  /**
   * Makes the message due for a search. Repeats it if the message changed since it was read. Returns
   * when it was requested: the search begins later.
   */
  async function request(id: string, caller: Caller): Promise<number> {
    for (;;) {
      const delivery = await messages.get(id, caller);
      const lookup = lookupOf(delivery);
      if (!isOn) throw new AppError('not_reconcilable', { detail: 'RECONCILE is off.' });
      if (mailboxes.get(lookup.account) === null)
        throw new AppError(mailboxes.status(lookup.account).code ?? 'no_mailbox');
      const requestedAt = now();
      // It is searched for before it is sent again, which is now.
      if (delivery.status === 'queued') return requestedAt;
      const state = lookup.state === 'looking' ? 'looking' : 'checking';
      const to = amend(delivery, { lookup: { ...lookup, state, requestedAt } });
      const effect: QueueEffect = { kind: isSettled(delivery.status) ? 'push' : 'reschedule', afterMs: 0 };
      if (await store.update(delivery, to, effect)) return requestedAt;
    }
  }

  return {
    async reconcile(id, caller, signal) {
      if (isDraining()) throw new AppError('shutting_down');
      const requestedAt = await request(id, caller);
      const waiting = AbortSignal.any([signal, AbortSignal.timeout(WAIT_MS)]);
      for (;;) {
        const delivery = await messages.get(id, caller);
        const { lookup } = delivery;
        if (lookup === null) return { delivery, isSearched: true };
        if ((lookup.lookedAt ?? 0) >= requestedAt) {
          const { fault } = lookup;
          if (fault) throw new AppError(fault.code, { detail: fault.detail });
          return { delivery, isSearched: true };
        }
        if (waiting.aborted || isDraining()) return { delivery, isSearched: false };
        await delay(CHECK_EVERY_MS, undefined, { signal: waiting }).catch(() => {});
      }
    },
  };
}

/**
 * Returns the lookup of a message that an attempt may have sent.
 *
 * @throws {AppError} `not_reconcilable`
 */
function lookupOf(delivery: Delivery): Lookup {
  const { status, lookup } = delivery;
  const isOpen = status === 'uncertain' || (!isSettled(status) && status !== 'sending');
  const found = isOpen ? (lookup ?? formerLookup(delivery)) : null;
  if (found !== null) return found;
  const detail =
    status === 'uncertain'
      ? 'A copy in Sent Mail would not prove which of its attempts sent it.'
      : `The message is ${status.replace('_', ' ')}, and no attempt with an unknown outcome is open.`;
  throw new AppError('not_reconcilable', { detail });
}

/**
 * Returns the lookup of an uncertain message whose record is of version 0.2. Null if its attempt may
 * have named other recipients.
 */
function formerLookup(delivery: Delivery): Lookup | null {
  const { status, attempts, recipients, perAttempt, possibleDuplicate } = delivery;
  const [attempt] = attempts;
  const error = attempt?.error;
  const isFirst = attempts.length === 1 && perAttempt === null;
  const isWhole = recipients.every(
    (recipient) => recipient.status !== 'accepted' && (recipient.status !== 'pending' || !recipient.smtp),
  );
  if (status !== 'uncertain' || !error || !isFirst || !isWhole) return null;
  const { account, startedAt, endedAt, smtp, number } = attempt;
  const fault = { error, scope: 'message', retryable: true, backoffMs: null, certain: false } as const;
  return {
    state: 'idle',
    account,
    attempt: number,
    outcome: { accepted: [], refused: [], reply: smtp, fault, server: '' },
    recipients: pendingOf(delivery),
    possibleDuplicate,
    since: startedAt,
    endedAt: endedAt ?? startedAt,
    fault: null,
  };
}
