import type { Delivery } from '../delivery/delivery.ts';
import type { DeliveryQuery } from '../delivery/delivery-query.ts';
import type { DeliveryStats } from '../delivery/delivery-stats.ts';
import type { FollowUp } from '../delivery/follow-up.ts';
import type { LookupResult } from '../delivery/lookup.ts';
import type { Content } from '../message/message.ts';
import type { Notice } from './outbox.ts';

/** What a change of a delivery does to its id in the queue. See `channelOf`. */
export type QueueEffect =
  /** Enqueues the id, in the channel of the delivery. */
  | { readonly kind: 'push'; readonly afterMs: number }
  /** Returns the taken id to the queue, in the channel of the delivery. */
  | { readonly kind: 'retry'; readonly afterMs: number }
  /** Makes the waiting id due after `afterMs` instead. */
  | { readonly kind: 'reschedule'; readonly afterMs: number }
  /** Removes the id, taken or not. */
  | { readonly kind: 'done' };

/** One change of a delivery, what it does to the queue, and the notices that it requires. */
export interface DeliveryChange {
  readonly from: Delivery;
  readonly to: Delivery;
  readonly effect: QueueEffect | null;
  /** New notices, due now. Stored and queued with the change. */
  readonly notices: readonly Notice[];
  /** The mail that the change records. Missing for any other change. */
  readonly followUp?: FollowUp;
  /** How the search for the message ended. Missing if the change does not end one. */
  readonly lookupResult?: LookupResult;
}

/**
 * Stores deliveries by id.
 *
 * - Bounded: `insert` throws AppError `queue_full` when the unsettled deliveries would exceed
 *   QUEUE_MAX_MESSAGES or QUEUE_MAX_BYTES, and stores nothing.
 * - A read or write that fails now throws AppError `queue_unavailable`.
 * - Once `insert` or `update` resolves, the change is as durable as the backend's `durability`
 *   says. Reads never expose a change that is less durable.
 * - Settled deliveries stay readable for RETAIN, and are then removed.
 * - The queue changes after the delivery or in the same step, never before. A queue that fails
 *   does not fail the call: its change is repeated until it succeeds.
 * - The notices of a change are stored in the same step. A full outbox never fails the call: a
 *   notice without capacity is dropped, see `Outbox.onDropped`. The others get into the queue, also
 *   if the process died before.
 * - Every unsettled delivery gets into the queue, also if the process died before it was enqueued.
 */
export interface DeliveryStore {
  /**
   * Inserts a delivery, enqueues its id, and returns it. Returns the stored one if the id is known
   * already.
   */
  insert(delivery: Delivery): Promise<Delivery>;
  get(id: string): Promise<Delivery | null>;
  /**
   * Returns the delivery of an id that this instance has taken. It may be as old as the take, so a
   * later change makes `update` return false.
   */
  getTaken(id: string): Promise<Delivery | null>;
  /**
   * Returns the content of a delivery, as long as it is kept: until the delivery settles, then for
   * RETAIN if it can be retried and for RETAIN_CONTENT if not. What RETAIN_CONTENT keeps occupies at
   * most QUEUE_MAX_BYTES; beyond it, the oldest content is dropped.
   */
  content(id: string): Promise<Content | null>;
  /** Returns what is left of a settled delivery that was dropped before RETAIN to limit memory. */
  tombstone(id: string): Promise<Tombstone | null>;
  /**
   * Replaces `from` by `to` if the stored revision is still that of `from` (compare-and-set), and
   * changes the queue and the outbox. Returns false, and changes nothing, if the stored delivery has another
   * revision or is gone. Of concurrent calls with the same `from`, exactly one returns true.
   */
  update(
    from: Delivery,
    to: Delivery,
    effect?: QueueEffect | null,
    notices?: readonly Notice[],
  ): Promise<boolean>;
  /**
   * Lists deliveries by `createdAt` and then by `id`, newest first unless the query has `waitingAt`.
   * The result omits their content: that of a whole page might not fit into memory.
   */
  list(query: DeliveryQuery): Promise<readonly Delivery[]>;
  /**
   * Counts the deliveries of an owner, or all of them. Exact after a restart or a crash: deliveries
   * that were removed or dropped still count for the hour in which they settled.
   *
   * @param owner null: all owners
   * @param now epoch ms by the wall clock
   */
  stats(owner: string | null, now: number): Promise<DeliveryStats>;
  /** Iterates over all unsettled deliveries. */
  unsettled(): AsyncIterable<Unsettled>;
  /**
   * Returns the code that `insert` would fail with now, or null. Cheap enough for every request.
   */
  refusalCode(): 'queue_full' | 'queue_unavailable' | null;
  /**
   * Returns how many bytes QUEUE_MAX_BYTES leaves free, as far as this instance knows. Negative if
   * the limit was lowered. As cheap as `refusalCode`.
   */
  freeBytes(): number;
  /**
   * Runs checks that are too expensive for `refusalCode`. Returns a problem and its fix, fit for
   * any client, or null if there is no further problem.
   */
  healthProblem?(): string | null;
  /** Calls the listener with the id of each delivery that another instance settles or defers. */
  onRemoteChange(listener: (id: string) => void): void;
}

/** What a store remembers of a delivery that it had to drop. */
export type Tombstone = Pick<Delivery, 'id' | 'status' | 'finishedAt'>;

/** The fields of a delivery that are known without reading its message. */
export type Unsettled = Pick<
  Delivery,
  'id' | 'account' | 'status' | 'error' | 'scheduledAt' | 'expiresAt' | 'lookup'
>;
