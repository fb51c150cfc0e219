import { AppError } from '../../core/errors.ts';
import { toMailboxKey } from '../../core/message/address.ts';
import type { Suppression, SuppressionStore } from '../../core/ports/suppression-store.ts';

const MAX_SUPPRESSIONS = 100_000;

/**
 * Creates a SuppressionStore in memory.
 *
 * @param maxCount `replace` throws AppError `queue_full` once it holds this many manual
 *   suppressions
 */
export function createMemorySuppressions(maxCount = MAX_SUPPRESSIONS): SuppressionStore {
  // A Map iterates in the order of insertion, so its first entry is the oldest.
  const automatic = new Map<string, Suppression>();
  const manual = new Map<string, Suppression>();
  /** Mailbox keys of both, sorted. */
  const keys: string[] = [];

  function find(key: string): Suppression | null {
    return automatic.get(key) ?? manual.get(key) ?? null;
  }

  function drop(key: string): boolean {
    const existed = automatic.delete(key) || manual.delete(key);
    if (existed) keys.splice(lowerBound(keys, key), 1);
    return existed;
  }

  function makeRoom() {
    if (keys.length < maxCount) return;
    const [oldest] = automatic.keys();
    if (oldest === undefined) {
      const detail = `The suppression list is full: it holds ${maxCount} manual suppressions. Remove some first.`;
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
      const [own, other] = to.reason === 'manual' ? [manual, automatic] : [automatic, manual];
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

/** Returns the index of a key in a sorted list, or the index at which to insert it. */
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
