import { type Attempt, amend, type Delivery, pendingOf } from '../delivery/delivery.ts';
import type { Lookup } from '../delivery/lookup.ts';
import type { Outcome } from '../delivery/outcome.ts';
import { errorOf, waitForLook, withSearch, withSearchOf } from '../dispatch/lookup-rules.ts';
import { decideAfterAttempt, restate } from '../dispatch/retry-policy.ts';
import { applyDecision, isExpired, retryAfter, type StepDeps } from '../dispatch/steps.ts';
import type { DeliveryChange } from '../ports/delivery-store.ts';
import type { SentResult } from '../ports/mailbox.ts';
import { SECOND } from '../time.ts';

/** Age up to which a search counts as made right before the attempt, in ms. */
const FRESH_MS = 5 * SECOND;

/** A search of Sent Mail that has ended. */
export interface Search {
  /** When it began, in epoch ms by the shared clock. What was filed later may not be found. */
  readonly beganAt: number;
  readonly result: SentResult;
}

/** Returns what follows from a search of Sent Mail. */
export function stepAfterSearch(
  delivery: Delivery,
  lookup: Lookup,
  { beganAt, result }: Search,
  deps: StepDeps,
): DeliveryChange {
  if (result.kind === 'found') return { ...confirm(delivery, lookup, deps), lookupResult: 'confirmed' };
  const fault = result.kind === 'failed' ? { code: result.fault.code, detail: result.fault.detail } : null;
  const { requestedAt = 0, ...begun } = lookup;
  const searched = { ...begun, lookedAt: beganAt, fault };
  // A client that asked after the search began may have seen the copy since.
  if (requestedAt > beganAt)
    return deps.changes.plan(delivery, amend(delivery, { lookup: searched }), { kind: 'retry', afterMs: 0 });
  if (lookup.state === 'checking') return endCheck(delivery, searched, result, deps);
  const { backoffScale } = deps.policy;
  const isRefused = result.kind === 'failed' && result.fault.isRefusal;
  const waitMs = waitForLook(beganAt - lookup.endedAt, deps.lookups.forMs, backoffScale);
  if (waitMs === null || isRefused || isExpired(delivery)) return decide(delivery, searched, result, deps);
  return lookAgain(delivery, searched, result, waitMs, deps);
}

/** Settles the recipients of an attempt whose copy is in Sent Mail. */
function confirm(delivery: Delivery, lookup: Lookup, deps: StepDeps): DeliveryChange {
  const pending = pendingOf(delivery);
  const outcome: Outcome = {
    accepted: lookup.recipients.filter((email) => pending.includes(email)),
    // Later attempts know more about them.
    refused: lookup.state === 'looking' ? lookup.outcome.refused : [],
    reply: null,
    fault: null,
    server: lookup.outcome.server,
  };
  const attempts = delivery.attempts.map(
    (attempt): Attempt =>
      attempt.number === lookup.attempt ? { ...attempt, confirmedBy: 'sent_mail' } : attempt,
  );
  // No attempt since has left another copy: the lookup would be that of this attempt.
  const { possibleDuplicate } = lookup;
  const decision = decideAfterAttempt({ ...delivery, attempts, possibleDuplicate }, outcome, deps.policy);
  return applyDecision(delivery, { attempts, possibleDuplicate, lookup: null }, 0, decision, deps);
}

function lookAgain(
  delivery: Delivery,
  lookup: Lookup,
  result: SentResult,
  waitMs: number,
  { changes }: StepDeps,
): DeliveryChange {
  const error = withSearch(errorOf(lookup), `${describe(result)} The search goes on.`);
  const to = amend(delivery, { lookup, error, nextAttemptAt: Date.now() + waitMs });
  return changes.plan(delivery, to, retryAfter(waitMs, delivery));
}

/** Lets ON_UNCERTAIN decide, as if the attempt had ended now. */
function decide(delivery: Delivery, lookup: Lookup, result: SentResult, deps: StepDeps): DeliveryChange {
  const { outcome } = lookup;
  const known = withSearchOf(outcome, describe(result, ` within ${sinceAttempt(lookup, deps)}`));
  const decision = decideAfterAttempt(delivery, known, deps.policy);
  return {
    ...applyDecision(delivery, { lookup: { ...lookup, state: 'idle' } }, 0, decision, deps),
    lookupResult: result.kind === 'absent' ? 'not_found' : 'not_possible',
  };
}

/** Lets the delivery go on as before the search. */
function endCheck(delivery: Delivery, lookup: Lookup, result: SentResult, deps: StepDeps): DeliveryChange {
  const { changes } = deps;
  const failure = withSearch(errorOf(lookup), describe(result, ` ${sinceAttempt(lookup, deps)}`));
  if (delivery.status === 'uncertain') {
    const error = restate('delivery_uncertain', failure);
    const to = amend(delivery, { error, lookup: { ...lookup, state: 'idle' } });
    return changes.plan(delivery, to, { kind: 'done' });
  }
  const afterMs = Math.max(0, (delivery.nextAttemptAt ?? 0) - Date.now());
  const error = delivery.error?.code === failure.code ? failure : delivery.error;
  const state = afterMs > FRESH_MS ? 'idle' : 'checked';
  const to = amend(delivery, { error, lookup: { ...lookup, state } });
  return changes.plan(delivery, to, { kind: 'retry', afterMs });
}

function sinceAttempt({ endedAt }: Lookup, { lookups }: StepDeps): string {
  return `${Math.round((lookups.now() - endedAt) / SECOND)} s after the attempt`;
}

/** Returns the result of a search in which nothing was found, as a sentence. */
function describe(result: SentResult, when = ''): string {
  return result.kind === 'failed'
    ? `Sent Mail could not be searched${when}: ${result.fault.detail.replace(/\.$/, '')}.`
    : `It was not found in Sent Mail${when}.`;
}
