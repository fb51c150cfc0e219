import { createOldestEntry } from '../../core/oldest-entry.ts';

export interface RetainedOptions<Value = unknown> {
  /** Lifetime of a value, in ms of the monotonic clock. */
  readonly forMs: number;
  readonly maxCount: number;
  readonly maxBytes: number;
  /** Called with each value that is dropped before its lifetime ends. */
  readonly onEarlyDrop: (value: Value) => void;
}

/**
 * Values that expire, within limits that all owners share. When a limit is exceeded, the owner that
 * holds the most loses its oldest value first: an owner within its equal share loses nothing.
 */
export interface Retained<Value> {
  get(key: string): Value | undefined;
  /** Stores a value. Its lifetime starts now, even if the key was known. */
  set(key: string, value: Value, weight: { readonly owner: string; readonly bytes: number }): void;
  /** Replaces a value and its weight. It lives as long as before. */
  replace(key: string, value: Value, bytes: number): void;
  delete(key: string): void;
}

interface Entry<Value> {
  readonly key: string;
  value: Value;
  bytes: number;
  readonly expiresAt: number;
  readonly share: Share<Value>;
}

/**
 * The entries of one owner. A Map iterates in the order of insertion, which is the order of expiry.
 */
interface Share<Value> {
  readonly owner: string;
  readonly entries: Map<string, Entry<Value>>;
  readonly oldest: ReturnType<typeof createOldestEntry<string, Entry<Value>>>;
  bytes: number;
}

export function createRetained<Value>({
  forMs,
  maxCount,
  maxBytes,
  onEarlyDrop,
}: RetainedOptions<Value>): Retained<Value> {
  const entries = new Map<string, Entry<Value>>();
  const shares = new Map<string, Share<Value>>();
  let totalBytes = 0;

  function addBytes(share: Share<Value>, bytes: number) {
    share.bytes += bytes;
    totalBytes += bytes;
  }

  function drop({ key, bytes, share }: Entry<Value>) {
    entries.delete(key);
    share.entries.delete(key);
    addBytes(share, -bytes);
    if (share.entries.size === 0) shares.delete(share.owner);
  }

  function shareOf(owner: string): Share<Value> {
    const known = shares.get(owner);
    if (known) return known;
    const entries = new Map<string, Entry<Value>>();
    const share = { owner, entries, oldest: createOldestEntry(entries), bytes: 0 };
    shares.set(owner, share);
    return share;
  }

  function dropExpired() {
    const now = performance.now();
    for (const share of shares.values()) {
      for (let next = share.oldest(); next && next[1].expiresAt <= now; next = share.oldest()) drop(next[1]);
    }
  }

  /** Drops the oldest value of the owner that holds the most by this measure. */
  function dropEarly(measure: (share: Share<Value>) => number) {
    const largest = [...shares.values()].reduce((most, share) =>
      measure(share) > measure(most) ? share : most,
    );
    const [, oldest] = largest.oldest() ?? [];
    if (oldest === undefined) return;
    drop(oldest);
    onEarlyDrop(oldest.value);
  }

  function enforceLimits() {
    dropExpired();
    while (entries.size > maxCount) dropEarly((each) => each.entries.size);
    while (totalBytes > maxBytes) dropEarly((each) => each.bytes);
  }

  return {
    get(key) {
      const entry = entries.get(key);
      return entry && entry.expiresAt > performance.now() ? entry.value : undefined;
    },
    set(key, value, { owner, bytes }) {
      const replaced = entries.get(key);
      if (replaced) drop(replaced);
      const share = shareOf(owner);
      const entry = { key, value, bytes, expiresAt: performance.now() + forMs, share };
      entries.set(key, entry);
      share.entries.set(key, entry);
      addBytes(share, bytes);
      enforceLimits();
    },
    replace(key, value, bytes) {
      const entry = entries.get(key);
      if (!entry) return;
      addBytes(entry.share, bytes - entry.bytes);
      Object.assign(entry, { value, bytes });
      enforceLimits();
    },
    delete(key) {
      const entry = entries.get(key);
      if (entry) drop(entry);
    },
  };
}
