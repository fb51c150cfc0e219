import { type Delivery, isSettled } from '../../core/delivery.ts';
import { AppError } from '../../core/errors.ts';
import { recordBytes } from '../../core/message.ts';
import type { Store } from '../../core/ports.ts';
import { createRetained, type RetainedOptions } from './retained.ts';

export interface MemoryStoreOptions {
  /** What may wait at once: QUEUE_MAX_MESSAGES and QUEUE_MAX_BYTES. */
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retained: RetainedOptions;
}

/** Seconds after which a caller who found the queue full should ask again. */
const RETRY_AFTER_S = 5;

/** A Store in memory. Deliveries are immutable, so it hands out the ones it holds. */
export function createMemoryStore({ maxMessages, maxBytes, retained }: MemoryStoreOptions): Store {
  const open = new Map<string, Delivery>();
  const settled = createRetained<Delivery>(retained);
  let bytes = 0;

  return {
    async insert(delivery) {
      if (open.size >= maxMessages) throw full(`It holds ${open.size} messages; QUEUE_MAX_MESSAGES allows ${maxMessages}.`);
      if (bytes + delivery.bytes > maxBytes) throw full(`It holds ${bytes} bytes; QUEUE_MAX_BYTES allows ${maxBytes}.`);
      open.set(delivery.id, delivery);
      bytes += delivery.bytes;
    },
    async get(id) {
      return open.get(id) ?? settled.get(id) ?? null;
    },
    async update(delivery) {
      if (!open.has(delivery.id)) return;
      if (!isSettled(delivery.status)) {
        open.set(delivery.id, delivery);
        return;
      }
      open.delete(delivery.id);
      bytes -= delivery.bytes;
      settled.set(delivery.id, delivery, recordBytes(delivery));
    },
    async *unsettled() {
      yield* [...open.values()];
    },
    hasRoom() {
      return open.size < maxMessages && bytes < maxBytes;
    },
  };
}

function full(detail: string): AppError {
  return new AppError('queue_full', { detail, retryAfter: RETRY_AFTER_S });
}
