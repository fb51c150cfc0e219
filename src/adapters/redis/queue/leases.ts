import type { Priority } from '../../../core/message/message.ts';
import type { Connection } from '../connection/connection.ts';
import type { Script } from '../connection/scripts.ts';
import type { BullMqQueue } from './bullmq.ts';

/** The lock of an id that this instance has taken and not finished. */
export interface Lease {
  readonly queue: BullMqQueue;
  readonly token: string;
  readonly priority: Priority;
  /** Record and content of the delivery, as they were when the id was taken, until they are read. */
  delivery: readonly [record?: Buffer | null, content?: Buffer | null];
}

/**
 * Renews locks. A lock that has expired is set again unless another instance has taken the id:
 * Redis may have been away for longer than locks last. The id is also removed from `stalled`.
 *
 * KEYS: `active` and `stalled` of the queue. ARGV: prefix of job keys, lifetime of a lock in ms,
 * then id and token of each lease.
 */
const RENEW: Script = {
  name: 'outtrayRenew',
  keys: 2,
  lua: `
    for i = 3, #ARGV, 2 do
      local id, token = ARGV[i], ARGV[i + 1]
      local lock = ARGV[1] .. id .. ':lock'
      local holder = redis.call('GET', lock)
      if holder == token or (not holder and redis.call('LPOS', KEYS[1], id)) then
        redis.call('SET', lock, token, 'PX', ARGV[2])
        redis.call('SREM', KEYS[2], id)
      end
    end
  `,
};

/** The leases of this instance by id. They are renewed until they are deleted. */
export interface Leases {
  get(id: string): Lease | undefined;
  set(id: string, lease: Lease): void;
  delete(id: string): void;
  ids(): readonly string[];
  stop(): void;
}

/**
 * @param lockMs lifetime of a lock
 * @param everyMs interval between renewals. The event loop may stall for `lockMs - everyMs` without
 *   losing a lock
 */
export function createLeases(connection: Connection, lockMs: number, everyMs: number): Leases {
  const leases = new Map<string, Lease>();

  async function renew() {
    const byQueue = Map.groupBy(leases, ([, { queue }]) => queue);
    for (const [queue, entries] of byQueue) {
      const tokens = entries.flatMap(([id, { token }]) => [id, token]);
      await connection
        .runScript(RENEW, queue.keys.active, queue.keys.stalled, queue.job(''), lockMs, ...tokens)
        .catch(() => {});
    }
  }

  const timer = setInterval(renew, everyMs);
  connection.onReconnect(() => void renew());
  return {
    get: (id) => leases.get(id),
    set: (id, lease) => void leases.set(id, lease),
    delete: (id) => void leases.delete(id),
    ids: () => [...leases.keys()],
    stop: () => clearInterval(timer),
  };
}
