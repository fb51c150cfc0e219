import { type Delivery, isSettled } from '../delivery/delivery.ts';
import { channelOf, isLookedUp, type Lookup, mailboxChannel } from '../delivery/lookup.ts';
import { type ChangeDeps, type ChangeMaker, createChangeMaker } from '../dispatch/make-change.ts';
import { type QueueWorkers, startQueueWorkers, type Turn } from '../dispatch/queue-workers.ts';
import type { StepDeps } from '../dispatch/steps.ts';
import type { Events } from '../events.ts';
import type { MailboxLease } from '../mailbox/mailbox-lease.ts';
import type { DeliveryStore } from '../ports/delivery-store.ts';
import { stepAfterSearch } from './search-steps.ts';
import type { SentSearch } from './sent-search.ts';

export interface ReconcilerDeps extends ChangeDeps, StepDeps {
  readonly store: DeliveryStore;
  readonly events: Events;
  /** The account whose Sent Mail is searched. */
  readonly user: string;
  readonly search: SentSearch;
  readonly lease: MailboxLease;
}

/**
 * Searches Sent Mail of one account for the messages that an attempt with an unknown outcome may
 * have sent. Takes them from the channel of the mailbox, one at a time, so that no worker that
 * sends waits for an IMAP server. Of several instances, the one that holds the mailbox takes them.
 */
export interface Reconciler {
  start(): void;
  /**
   * Takes no more deliveries, and aborts the search under way. Resolves when it has ended. The lease
   * is not given back: it has other uses.
   */
  drain(): Promise<void>;
}

export function createReconciler(deps: ReconcilerDeps): Reconciler {
  const { queue, events, lease } = deps;
  const channel = mailboxChannel(deps.user);
  const maker = createChangeMaker(channel, deps);
  let workers: QueueWorkers | null = null;

  return {
    start() {
      workers = startQueueWorkers({
        queue,
        events,
        channel,
        count: 1,
        ready: (_worker, stopping) => lease.waitUntilFree(stopping),
        handle: (id, turn) => handle(id, channel, turn, deps, maker),
      });
    },
    async drain() {
      await workers?.drain();
    },
  };
}

async function handle(
  id: string,
  channel: string,
  { stopping }: Turn,
  deps: ReconcilerDeps,
  { make, requeueNow }: ChangeMaker,
): Promise<void> {
  const { store, queue, events } = deps;
  const delivery = await store.getTaken(id);
  const lookup = delivery?.lookup;
  if (!delivery || !lookup || channelOf(delivery) !== channel) {
    // It has been canceled, retried or found meanwhile.
    if (!delivery || isSettled(delivery.status)) return queue.done(id, channel);
    return queue.retry(id, channel, 0, channelOf(delivery));
  }
  const beganAt = deps.lookups.now();
  const fault = deps.search.knownFault(lookup);
  const result = fault
    ? ({ kind: 'failed', fault } as const)
    : await searchHere(delivery.messageId, lookup, stopping, deps);
  if (result === null || stopping.aborted) return requeueNow(id);
  const searched = await store.get(id);
  if (!isSameSearch(delivery, searched)) return requeueNow(id);
  await make(stepAfterSearch(searched, searched.lookup, { beganAt, result }, deps));
  // Thousands of messages may wait while the server fails.
  if (fault === null) events.emit('message.searched', searched, result);
}

/** Whether a delivery still waits for the search that was begun, although clients asked for it again. */
function isSameSearch(begun: Delivery, now: Delivery | null): now is Delivery & { readonly lookup: Lookup } {
  return now?.status === begun.status && isLookedUp(now) && now.lookup?.attempt === begun.lookup?.attempt;
}

/** Returns null if another instance holds the mailbox. */
async function searchHere(
  messageId: string,
  lookup: Lookup,
  stopping: AbortSignal,
  { search, lease }: ReconcilerDeps,
) {
  if (!(await lease.acquire())) return null;
  return search.find({ messageId, since: lookup.since }, stopping);
}
