import type { RateCounter, RateCounters } from '../../core/ports/rate-counter.ts';
import type { Connection } from './connection/connection.ts';
import type { Script } from './connection/scripts.ts';
import { KEYS } from './keys.ts';

/**
 * Spends a cost if it fits. A window that was opened with a longer length than it has now ends
 * earlier.
 *
 * KEYS: the amount spent in the window. ARGV: cost, max, window in ms.
 * Returns 1 if the cost fits, else 0; the amount spent; ms until the window ends.
 */
const SPEND: Script = {
  name: 'outtraySpend',
  keys: 1,
  lua: `
    local cost, window = tonumber(ARGV[1]), tonumber(ARGV[3])
    local used = tonumber(redis.call('GET', KEYS[1]) or 0)
    local fits = used + cost <= tonumber(ARGV[2])
    if fits then used = redis.call('INCRBY', KEYS[1], cost) end
    local left = redis.call('PTTL', KEYS[1])
    if left < 0 or left > window then
      redis.call('PEXPIRE', KEYS[1], window)
      left = window
    end
    return { fits and 1 or 0, used, left }
  `,
};

/** Creates the rate counters that all instances share. */
export function createRedisRateCounter(connection: Connection): RateCounters {
  const createCounter = (kind: string): RateCounter => ({
    async spend(name, cost, { max, windowMs }) {
      const result = await connection.runScript(SPEND, KEYS.rate(kind, name), cost, max, Math.ceil(windowMs));
      const [fits = 0, used = 0, resetMs = 0] = result as readonly number[];
      return { fits: fits === 1, left: Math.max(0, max - used), resetMs };
    },
  });
  return { keys: createCounter('key'), addresses: createCounter('address') };
}
