import type { Backend } from '../../core/ports/backend.ts';
import { storeThenQueue } from '../../core/store-then-queue.ts';
import { putThenQueue } from '../../core/webhooks/notice-queue.ts';
import { outboxLimits } from '../../core/webhooks/outbox-capacity.ts';
import { createMemoryIdempotency } from './idempotency.ts';
import { createMemoryOutbox } from './outbox.ts';
import { createMemoryQueue } from './queue.ts';
import type { RetainedOptions } from './retained.ts';
import { createMemorySentIndex } from './sent-index.ts';
import { createMemorySharedState } from './shared-state.ts';
import { createMemoryStore } from './store.ts';
import { createMemorySuppressions } from './suppressions.ts';

export interface MemoryBackendOptions {
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
  /** How long content is kept that can only be read, in ms. Default: 0. */
  readonly retainContentMs?: number;
  /** Called when something is dropped before RETAIN to limit memory. */
  readonly onEarlyDrop: (what: EarlyDrop) => void;
}

/**
 * What was dropped.
 *
 * - `record`: a settled message, its content, or a stored response.
 * - `claim`: an idempotency key, so a repeated request would send again.
 */
export type EarlyDrop = 'record' | 'claim';

/**
 * Minimum limit of settled messages, for a smaller QUEUE_MAX_MESSAGES: one day of five Workspace
 * accounts.
 */
const MIN_RETAINED = 10_000;
/**
 * Maximum number of idempotency keys, and of tombstones of settled messages: far more than Gmail
 * lets an account send in a day.
 */
const MAX_CLAIMS = 100_000;
const MAX_CLAIM_BYTES = 64 * 1024 * 1024;

/** Creates the backend in memory: fast, bounded, and lost when the process ends. */
export function createMemoryBackend({
  maxMessages,
  maxBytes,
  retainMs,
  retainContentMs = 0,
  onEarlyDrop,
}: MemoryBackendOptions): Backend {
  const retained: RetainedOptions = {
    forMs: retainMs,
    maxCount: Math.max(MIN_RETAINED, maxMessages),
    maxBytes,
    onEarlyDrop: () => onEarlyDrop('record'),
  };
  const claims: RetainedOptions = {
    forMs: retainMs,
    maxCount: MAX_CLAIMS,
    maxBytes: MAX_CLAIM_BYTES,
    onEarlyDrop: () => onEarlyDrop('claim'),
  };
  const queue = createMemoryQueue();
  const notices = createMemoryOutbox(outboxLimits({ maxMessages, maxBytes }), retainMs);
  const sharedState = createMemorySharedState((notice) => outbox.add(notice));
  const outbox = putThenQueue(notices, queue, sharedState.now);
  return {
    durability: 'memory',
    queue,
    store: storeThenQueue(
      createMemoryStore({
        maxMessages,
        maxBytes,
        retained,
        retainContentMs,
        maxTombstones: MAX_CLAIMS,
        outbox: notices,
      }),
      queue,
      outbox,
    ),
    idempotency: createMemoryIdempotency({ claims, responses: retained }),
    suppressions: createMemorySuppressions(),
    outbox,
    sentIndex: createMemorySentIndex(),
    sharedState,
    async close() {
      queue.close();
    },
  };
}
