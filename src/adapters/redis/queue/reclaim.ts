import type { Connection } from '../connection/connection.ts';
import type { Script } from '../connection/scripts.ts';

/**
 * Maximum age of a reclaim request when Redis runs it, in ms. An older one proves nothing: Redis
 * may have hung, and so kept living instances from renewing their locks.
 */
const MAX_REQUEST_AGE_MS = 2000;

/**
 * Guards BullMQ's search for the ids of dead instances, in the same step: suppresses it if the
 * request is too old. BullMQ does not search while its `stalled-check` exists.
 *
 * KEYS: `stalled-check` of the queue. ARGV: deadline of the request by Redis's time of day, ms for
 * which to suppress the search.
 */
export const ALLOW_RECLAIM: Script = {
  name: 'outtrayAllowReclaim',
  keys: 1,
  lua: `
    local time = redis.call('TIME')
    if time[1] * 1000 + time[2] / 1000 > tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '', 'PX', ARGV[2]) end
  `,
};

/** Returns the deadline of a request that is sent now, in epoch ms by Redis's time of day. */
export function requestDeadline(connection: Connection): number {
  return Math.ceil(connection.clock.redisNow()) + MAX_REQUEST_AGE_MS;
}

/**
 * Calls `reclaim` at an interval. The first call after Redis was unavailable is skipped, so that
 * living instances can first renew locks that expired meanwhile.
 */
export function startReclaiming(
  connection: Connection,
  everyMs: number,
  reclaim: () => Promise<void>,
): { stop(): void } {
  let wasUsable = false;
  const timer = setInterval(() => {
    const isUsable = connection.isUsable();
    if (isUsable && wasUsable) reclaim().catch(() => {});
    wasUsable = isUsable;
  }, everyMs);
  return { stop: () => clearInterval(timer) };
}
