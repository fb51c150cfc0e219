import { AppError } from '../errors.ts';
import type { SharedState, SharedValue } from '../ports/shared-state.ts';
import { emptyQuota, type Quota, type QuotaBook, quotaIn } from '../quota.ts';
import type { ApiKey, Caller } from './caller.ts';

/** A place in a key's daily limit, taken for one message. */
export interface Reservation {
  /** The message was not accepted after all. */
  release(): Promise<void>;
}

/** The keys that hold now, and what each has had accepted in the last 24 h. */
export interface ApiKeys {
  keys(): readonly ApiKey[];
  get(name: string): ApiKey | null;
  /** From now on these keys hold. What a name has had accepted stays counted, whatever its limit becomes. */
  replace(keys: readonly ApiKey[]): void;
  /**
   * Takes a place in the daily limit of the caller's key.
   *
   * @throws {AppError} `rate_limited` when there is none, with when there will be one; `queue_unavailable`
   */
  reserve(caller: Pick<Caller, 'name'>): Promise<Reservation>;
}

export function createApiKeys(
  first: readonly ApiKey[],
  sharedState: Pick<SharedState, 'open' | 'now'>,
): ApiKeys {
  let current = first;
  let byName = toMap(first);
  const opened = new Map<string, Promise<SharedValue<QuotaBook>>>();

  function bookOf(name: string): Promise<SharedValue<QuotaBook>> {
    const book = opened.get(name) ?? sharedState.open(`key:${name}`, () => emptyQuota(sharedState.now()));
    opened.set(name, book);
    // Another request may find it.
    book.catch(() => opened.delete(name));
    return book;
  }

  return {
    keys: () => current,
    get: (name) => byName.get(name) ?? null,
    replace(keys) {
      current = keys;
      byName = toMap(keys);
    },
    async reserve({ name }) {
      const book = await bookOf(name);
      const limit = byName.get(name)?.dailyLimit ?? null;
      const allowance = {
        messages: limit ?? Number.POSITIVE_INFINITY,
        recipients: Number.POSITIVE_INFINITY,
        reserve: 0,
      };
      const edit = <Result>(write: (quota: Quota) => Result) =>
        book.change((kept) => write(quotaIn(kept, { allowance, now: sharedState.now })));
      const waitMs = await edit((quota) => {
        const wait = quota.waitMs(0, 'normal');
        if (wait === 0) quota.count(0);
        return wait;
      });
      if (limit !== null && waitMs > 0) throw spent(name, limit, waitMs);
      return { release: () => edit((quota) => quota.uncount(0)) };
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
