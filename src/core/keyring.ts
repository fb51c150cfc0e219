import type { ApiKey, Caller } from './caller.ts';
import { AppError } from './errors.ts';
import { createQuota, type Quota } from './quota.ts';

/** A place in a key's daily limit, taken for one message. It ends in one of the two. */
export interface DailyHold {
  /** The message was accepted. */
  spend(): void;
  release(): void;
}

/** The keys that hold now, and what each has had accepted in the last 24 h. */
export interface Keyring {
  keys(): readonly ApiKey[];
  get(name: string): ApiKey | null;
  /** From now on these keys hold. What a name has had accepted stays counted, whatever its limit becomes. */
  replace(keys: readonly ApiKey[]): void;
  /**
   * Takes a place in the daily limit of the caller's key.
   *
   * @throws {AppError} `rate_limited` when there is none, with when there will be one
   */
  take(caller: Pick<Caller, 'name'>): DailyHold;
}

export function createKeyring(first: readonly ApiKey[]): Keyring {
  let current = first;
  let byName = toMap(first);
  const quotas = new Map<string, Quota>();

  function quotaOf(name: string): Quota {
    const known = quotas.get(name);
    if (known) return known;
    const quota = createQuota({
      get messages() {
        return byName.get(name)?.dailyLimit ?? Number.POSITIVE_INFINITY;
      },
      recipients: Number.POSITIVE_INFINITY,
      reserve: 0,
    });
    quotas.set(name, quota);
    return quota;
  }

  return {
    keys: () => current,
    get: (name) => byName.get(name) ?? null,
    replace(keys) {
      current = keys;
      byName = toMap(keys);
    },
    take({ name }) {
      const quota = quotaOf(name);
      const limit = byName.get(name)?.dailyLimit ?? null;
      const waitMs = limit === null ? 0 : quota.waitMs(0, 'normal');
      if (limit !== null && waitMs > 0) throw spent(name, limit, waitMs);
      const hold = quota.hold(0);
      return { spend: () => hold.spend(0), release: () => hold.release() };
    },
  };
}

function toMap(keys: readonly ApiKey[]): ReadonlyMap<string, ApiKey> {
  return new Map(keys.map((key) => [key.name, key]));
}

function spent(name: string, limit: number, waitMs: number): AppError {
  const retryAfter = Math.ceil(waitMs / 1000);
  const detail = `The key ${name} may have ${limit} messages accepted in 24 hours, its daily_limit. There is room again in ${retryAfter} s.`;
  return new AppError('rate_limited', { detail, retryAfter });
}
