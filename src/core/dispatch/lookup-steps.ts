import { amend, type Delivery } from '../delivery/delivery.ts';
import type { Lookup } from '../delivery/lookup.ts';
import type { DeliveryChange } from '../ports/delivery-store.ts';
import { errorOf, withSearch } from './lookup-rules.ts';
import { defer, type StepDeps } from './steps.ts';

/**
 * Returns the search of Sent Mail that must precede the next attempt of a delivery, since a copy of
 * an earlier one may have been filed meanwhile. Null: the delivery may be attempted.
 */
export function searchBeforeAttempt(delivery: Delivery, deps: StepDeps): DeliveryChange | null {
  const { lookup, status } = delivery;
  if (lookup === null || lookup.state === 'checked' || !deps.lookups.isPossible(lookup.account)) return null;
  const checking: Lookup = { ...lookup, state: 'checking' };
  if (status === 'deferred')
    return deps.changes.plan(delivery, amend(delivery, { lookup: checking }), { kind: 'retry', afterMs: 0 });
  const error = withSearch(errorOf(lookup), 'Sent Mail is searched for it before it is sent again.');
  return defer(delivery, { lookup: checking, error }, 0, deps);
}
