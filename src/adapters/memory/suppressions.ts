import { AppError } from '../../core/errors.ts';
import { toMailboxKey } from '../../core/message/address.ts';
import type { Suppression, SuppressionStore } from '../../core/ports/suppression-store.ts';

const MAX_KEPT = 100_000;

/** A SuppressionStore in memory. `replace` refuses with AppError `queue_full` once it has `maxKept` that were all entered by hand. */
export function createMemorySuppressions(maxKept = MAX_KEPT): SuppressionStore {
  // A Map iterates in the order of insertion: the oldest comes first.
  const refused = new Map<string, Suppression>();
  const manual = new Map<string, Suppression>();
  /** The keys of both, sorted. */
  const keys: string[] = [];

  function find(key: string): Suppression | null {
    return refused.get(key) ?? manual.get(key) ?? null;
  }

  function drop(key: string): boolean {
    const existed = refused.delete(key) || manual.delete(key);
    if (existed) keys.splice(lowerBound(keys, key), 1);
    return existed;
  }

  function makeRoom() {
    if (keys.length < maxKept) return;
    const [oldest] = refused.keys();
    if (oldest === undefined) {
      const detail = `There is no room for another suppression: all ${maxKept} that are kept were entered by hand. Remove some first.`;
      throw new AppError('queue_full', { detail });
    }
    drop(oldest);
  }

  return {
    async get(email) {
      return find(toMailboxKey(email));
    },
    async replace(from, to) {
      const key = toMailboxKey(to.email);
      if (find(key) !== from) return false;
      const [own, other] = to.reason === 'manual' ? [manual, refused] : [refused, manual];
      if (!own.has(key) && !other.delete(key)) {
        makeRoom();
        keys.splice(lowerBound(keys, key), 0, key);
      }
      own.set(key, to);
      return true;
    },
    async remove(email) {
      return drop(toMailboxKey(email));
    },
    async list({ limit, after }) {
      const found = after === null ? 0 : lowerBound(keys, after);
      const start = keys[found] === after ? found + 1 : found;
      return keys.slice(start, start + limit).flatMap((key) => find(key) ?? []);
    },
  };
}

/** Where a key is in a sorted list, or would be. */
function lowerBound(sorted: readonly string[], key: string): number {
  let from = 0;
  let to = sorted.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if ((sorted[middle] as string) < key) from = middle + 1;
    else to = middle;
  }
  return from;
}
