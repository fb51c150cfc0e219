import type { DeliveryStore } from './delivery-store.ts';
import type { IdempotencyStore } from './idempotency-store.ts';
import type { Outbox } from './outbox.ts';
import type { Queue } from './queue.ts';
import type { SentIndex } from './sent-index.ts';
import type { SharedState } from './shared-state.ts';
import type { SuppressionStore } from './suppression-store.ts';

export const DURABILITIES = ['memory', 'disk', 'redis'] as const;
/** Where an accepted message is stored, which decides the failures that it survives. */
export type Durability = (typeof DURABILITIES)[number];

/** One storage implementation: memory, SQLite or Redis. */
export interface Backend {
  /** What a `202` guarantees. */
  readonly durability: Durability;
  readonly queue: Queue;
  readonly store: DeliveryStore;
  readonly idempotency: IdempotencyStore;
  readonly suppressions: SuppressionStore;
  readonly outbox: Outbox;
  readonly sentIndex: SentIndex;
  readonly sharedState: SharedState;
  /**
   * Copies everything to a file, as it is at one moment, while the service goes on. The file is
   * replaced if it exists. Absent if the backend is not a file.
   *
   * @throws {Error} with the reason, fit for the operator
   */
  copyTo?(file: string): Promise<void>;
  close(): Promise<void>;
}
