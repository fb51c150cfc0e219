/**
 * Keeps values for a while, and no more than so many: the oldest go first. Time is monotonic.
 *
 * @param onEarly called when something had to go before its time
 */
export interface RetainedOptions {
  readonly forMs: number;
  readonly maxCount: number;
  readonly maxBytes: number;
  readonly onEarly: () => void;
}

export interface Retained<Value> {
  get(key: string): Value | undefined;
  /** Starts the key's time, or starts it anew. */
  set(key: string, value: Value, bytes: number): void;
  delete(key: string): void;
}

export function createRetained<Value>({ forMs, maxCount, maxBytes, onEarly }: RetainedOptions): Retained<Value> {
  const entries = new Map<string, { value: Value; bytes: number; until: number }>();
  let total = 0;

  function drop(key: string, bytes: number) {
    entries.delete(key);
    total -= bytes;
  }

  function prune() {
    const now = performance.now();
    // A Map iterates in the order of insertion, which is the order of expiry.
    for (const [key, { until, bytes }] of entries) {
      const early = until > now;
      if (early && entries.size <= maxCount && total <= maxBytes) return;
      drop(key, bytes);
      if (early) onEarly();
    }
  }

  return {
    get(key) {
      const entry = entries.get(key);
      return entry && entry.until > performance.now() ? entry.value : undefined;
    },
    set(key, value, bytes) {
      const former = entries.get(key);
      if (former) drop(key, former.bytes);
      entries.set(key, { value, bytes, until: performance.now() + forMs });
      total += bytes;
      prune();
    },
    delete(key) {
      const entry = entries.get(key);
      if (entry) drop(key, entry.bytes);
    },
  };
}
