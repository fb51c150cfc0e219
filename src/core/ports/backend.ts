import type { DeliveryStore } from './delivery-store.ts';
import type { IdempotencyStore } from './idempotency-store.ts';
import type { Outbox } from './outbox.ts';
import type { Queue } from './queue.ts';
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
  readonly sharedState: SharedState;
  close(): Promise<void>;
}
