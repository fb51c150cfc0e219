import { AppError } from '../errors.ts';
import type { SharedState, SharedValue, StoredValue } from '../ports/shared-state.ts';
import { waitForQuota } from '../quota.ts';
import { addUsage, mergeBuckets, subtractUsage, type UsageBucket } from '../usage.ts';
import type { ApiKey, Caller } from './caller.ts';

/** A slot in the daily limit of an API key, for one message. */
export interface Reservation {
  /** Gives the slot back: the message was not stored. */
  release(): Promise<void>;
}

/** The valid API keys, and the messages that each has had accepted in the last 24 h. */
export interface ApiKeys {
  keys(): readonly ApiKey[];
  get(name: string): ApiKey | null;
  /**
   * Makes these the valid keys. Usage is counted by name, and only while the key has a daily limit:
   * counting starts when it gets one, and messages that were counted before still count.
   */
  replace(keys: readonly ApiKey[]): void;
  /**
   * Reserves a slot in the daily limit of the caller's key. Does nothing for a key without one.
   *
   * @throws {AppError} `rate_limited` with the wait until a slot is free; `queue_unavailable`
   */
  reserve(caller: Pick<Caller, 'name'>): Promise<Reservation>;
}

const MESSAGE = { messages: 1, recipients: 0 };
const UNCOUNTED: Reservation = { async release() {} };

export function createApiKeys(
  first: readonly ApiKey[],
  sharedState: Pick<SharedState, 'open' | 'now'>,
): ApiKeys {
  let current = first;
  let byName = toMap(first);
  const opened = new Map<string, Promise<SharedValue<object>>>();

  /** Only the usage of the value is used. */
  function open(name: string): Promise<SharedValue<object>> {
    const value = opened.get(name) ?? sharedState.open(`key:${name}`, () => ({}), upgradeKeyUsage);
    opened.set(name, value);
    // Another request may succeed.
    value.catch(() => opened.delete(name));
    return value;
  }

  return {
    keys: () => current,
    get: (name) => byName.get(name) ?? null,
    replace(keys) {
      current = keys;
      byName = toMap(keys);
    },
    async reserve({ name }) {
      const limit = byName.get(name)?.dailyLimit ?? null;
      if (limit === null) return UNCOUNTED;
      const value = await open(name);
      const { waitMs, leavesAt } = await value.change((_value, usage) => {
        const now = sharedState.now();
        const waitMs = waitForMessage(usage, limit, now);
        return { waitMs, leavesAt: waitMs > 0 ? 0 : addUsage(usage, MESSAGE, now) };
      });
      if (waitMs > 0) throw dailyLimitError(name, limit, waitMs);
      return { release: () => value.change((_value, usage) => subtractUsage(usage, MESSAGE, leavesAt)) };
    },
  };
}

/** How long until the limit has a slot for another message, in ms. */
function waitForMessage(usage: readonly UsageBucket[], limit: number, now: number): number {
  const allowance = { messages: limit, recipients: Number.POSITIVE_INFINITY, reserve: 0 };
  const consumption = { usage, inFlight: { messages: 0, recipients: 0 }, learned: null };
  return waitForQuota(consumption, { allowance, backoffScale: 1 }, now, {
    recipients: 0,
    priority: 'normal',
  });
}

/** Converts the usage of version 0.1, which had one bucket for each minute. */
function upgradeKeyUsage(stored: object): StoredValue<object> | null {
  if (!('buckets' in stored)) return null;
  return { value: {}, usage: mergeBuckets(stored.buckets as readonly UsageBucket[]) };
}

function toMap(keys: readonly ApiKey[]): ReadonlyMap<string, ApiKey> {
  return new Map(keys.map((key) => [key.name, key]));
}

function dailyLimitError(name: string, limit: number, waitMs: number): AppError {
  const retryAfter = Math.ceil(waitMs / 1000);
  const detail = `The key ${name} may have ${limit} messages accepted in 24 hours, its daily_limit. There is room again in ${retryAfter} s.`;
  return new AppError('rate_limited', { detail, retryAfter });
}
