import type { Delivery } from '../delivery/delivery.ts';
import type { DeliveryQuery } from '../delivery/delivery-query.ts';

/**
 * Keeps deliveries by id.
 *
 * - Bounded: `insert` refuses with AppError `queue_full` when the unsettled deliveries would exceed QUEUE_MAX_MESSAGES or QUEUE_MAX_BYTES.
 *   Nothing refused is kept.
 * - What cannot be kept or read now is refused with AppError `queue_unavailable`.
 * - What `insert` and `update` have resolved is as durable as the backend's `durability` says; nobody is ever shown what is not.
 * - Settled deliveries stay readable for RETAIN, then go.
 * - What is kept and due gets into the queue, also if its `push` is prevented: by a crash, say.
 */
export interface DeliveryStore {
  /** Answers what is kept from now on: the delivery; or, if it was inserted before, what has become of it. */
  insert(delivery: Delivery): Promise<Delivery>;
  get(id: string): Promise<Delivery | null>;
  /** Returns what is still known of a settled delivery that was dropped before RETAIN, to keep memory flat. */
  tombstone(id: string): Promise<Tombstone | null>;
  /**
   * Puts `to` in the place of `from`, unless what is kept is another revision by now, or gone: then nothing changes, and it answers false.
   * Of any number of callers with the same `from`, one succeeds.
   */
  update(from: Delivery, to: Delivery): Promise<boolean>;
  /** Newest first, by `createdAt` and then by `id`. Without content: that of a page might not fit into memory. */
  list(query: DeliveryQuery): Promise<readonly Delivery[]>;
  /** Every delivery that is not settled: to wake what waits for an account or for the wall clock, and for the farewell at shutdown. */
  unsettled(): AsyncIterable<Unsettled>;
  /** Why `insert` would be refused now, if it would: cheap enough to ask on every request. */
  refusalCode(): 'queue_full' | 'queue_unavailable' | null;
  /** Bytes that QUEUE_MAX_BYTES has left, as far as this instance knows. Negative if it was lowered. As cheap as `refusal`. */
  freeBytes(): number;
  /** Checks what `refusal` is too cheap to check. Returns what is wrong and how to fix it, fit for any client, or null if `refusal` says it all. */
  healthProblem?(): string | null;
  /** Calls the listener when another instance has settled or deferred a delivery. */
  onRemoteChange(listener: (id: string) => void): void;
}

/** What a store remembers of a delivery that it had to drop. */
export type Tombstone = Pick<Delivery, 'id' | 'status' | 'finishedAt'>;

/** What can be said of a delivery without reading what it says. */
export type Unsettled = Pick<Delivery, 'id' | 'account' | 'status' | 'error' | 'scheduledAt' | 'expiresAt'>;
