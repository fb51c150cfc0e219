import { boundsOfOutbox } from '../../core/outbox-room.ts';
import type { Backend } from '../../core/ports.ts';
import { createMemoryBooks } from './books.ts';
import { createMemoryIdempotency } from './idempotency.ts';
import { createMemoryOutbox } from './outbox.ts';
import { createMemoryQueue } from './queue.ts';
import type { RetainedOptions } from './retained.ts';
import { createMemoryStore } from './store.ts';
import { createMemorySuppressions } from './suppressions.ts';

export interface MemoryBackendOptions {
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
  /** Called when finished messages or answers must go before RETAIN, to keep memory flat. */
  readonly onEarlyDrop: () => void;
}

/** Finished messages kept at most, where QUEUE_MAX_MESSAGES is smaller: five Workspace accounts’ worth of a day. */
const MIN_RETAINED = 10_000;

/** Keeps everything in memory: quick, bounded, and lost when the process ends. */
export function createMemoryBackend({ maxMessages, maxBytes, retainMs, onEarlyDrop }: MemoryBackendOptions): Backend {
  const retained: RetainedOptions = {
    forMs: retainMs,
    maxCount: Math.max(MIN_RETAINED, maxMessages),
    maxBytes,
    onEarly: onEarlyDrop,
  };
  const queue = createMemoryQueue();
  return {
    durability: 'memory',
    queue,
    store: createMemoryStore({ maxMessages, maxBytes, retained }),
    idempotency: createMemoryIdempotency(retained),
    suppressions: createMemorySuppressions(),
    outbox: createMemoryOutbox(boundsOfOutbox({ maxMessages, maxBytes })),
    books: createMemoryBooks(),
    async close() {
      queue.close();
    },
  };
}
