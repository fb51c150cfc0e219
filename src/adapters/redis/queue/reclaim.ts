import type { Connection } from '../connection/connection.ts';
import type { Script } from '../connection/scripts.ts';

/** A request that took longer says nothing of now: Redis may have hung, and so kept those who live from saying so. */
const MAX_AGE_MS = 2000;

/**
 * Before BullMQ looks for ids whose instances have died, in the same step: keeps it from that if the request is old by now. It looks no sooner
 * than that key of its own allows.
 *
 * KEYS: BullMQ’s `stalled-check`. ARGV: until when it may look, for how long it may not otherwise.
 */
export const ALLOW_RECLAIM: Script = {
  name: 'outtrayAllowReclaim',
  keys: 1,
  lua: `
    local time = redis.call('TIME')
    if time[1] * 1000 + time[2] / 1000 > tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '', 'PX', ARGV[2]) end
  `,
};

export function toDeadline(connection: Connection): number {
  return Math.ceil(connection.clock.redisNow()) + MAX_AGE_MS;
}

/**
 * Looks now and then for ids whose instances have died. When Redis could not be used, those who live get the time to renew their locks first, which may
 * have run out meanwhile.
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
