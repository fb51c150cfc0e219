/**
 * Keeps values for a while, within bounds that all owners share. When a bound is exceeded, the owner that holds the most loses its oldest value
 * first: an owner within its equal share loses nothing. Time is monotonic.
 */
export interface RetainedOptions<Value = unknown> {
  readonly forMs: number;
  readonly maxCount: number;
  readonly maxBytes: number;
  /** Called with each value that is dropped before its time. */
  readonly onEarlyDrop: (value: Value) => void;
}

export interface Retained<Value> {
  get(key: string): Value | undefined;
  /** Starts the key's time, or starts it anew. */
  set(key: string, value: Value, weight: { readonly owner: string; readonly bytes: number }): void;
  delete(key: string): void;
}

interface Entry<Value> {
  readonly key: string;
  readonly value: Value;
  readonly bytes: number;
  readonly until: number;
  readonly share: Share<Value>;
}

/** What one owner holds. A Map iterates in the order of insertion, which is the order of expiry. */
interface Share<Value> {
  readonly owner: string;
  readonly entries: Map<string, Entry<Value>>;
  bytes: number;
}

export function createRetained<Value>({
  forMs,
  maxCount,
  maxBytes,
  onEarlyDrop: onEarly,
}: RetainedOptions<Value>): Retained<Value> {
  const entries = new Map<string, Entry<Value>>();
  const shares = new Map<string, Share<Value>>();
  let total = 0;

  function drop({ key, bytes, share }: Entry<Value>) {
    entries.delete(key);
    share.entries.delete(key);
    share.bytes -= bytes;
    total -= bytes;
    if (share.entries.size === 0) shares.delete(share.owner);
  }

  function shareOf(owner: string): Share<Value> {
    const share = shares.get(owner) ?? { owner, entries: new Map(), bytes: 0 };
    shares.set(owner, share);
    return share;
  }

  function dropExpired() {
    const now = performance.now();
    for (const share of shares.values()) {
      for (const entry of share.entries.values()) {
        if (entry.until > now) break;
        drop(entry);
      }
    }
  }

  /** Drops the oldest value of the owner that holds the most by this measure. */
  function dropEarly(measure: (share: Share<Value>) => number) {
    const largest = [...shares.values()].reduce((most, share) =>
      measure(share) > measure(most) ? share : most,
    );
    const [oldest] = largest.entries.values();
    if (oldest === undefined) return;
    drop(oldest);
    onEarly(oldest.value);
  }

  return {
    get(key) {
      const entry = entries.get(key);
      return entry && entry.until > performance.now() ? entry.value : undefined;
    },
    set(key, value, { owner, bytes }) {
      const former = entries.get(key);
      if (former) drop(former);
      const share = shareOf(owner);
      const entry = { key, value, bytes, until: performance.now() + forMs, share };
      entries.set(key, entry);
      share.entries.set(key, entry);
      share.bytes += bytes;
      total += bytes;
      dropExpired();
      while (entries.size > maxCount) dropEarly((each) => each.entries.size);
      while (total > maxBytes) dropEarly((each) => each.bytes);
    },
    delete(key) {
      const entry = entries.get(key);
      if (entry) drop(entry);
    },
  };
}
