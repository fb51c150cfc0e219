import type { Priority } from '../../../core/message/message.ts';
import type { Connection } from '../connection/connection.ts';
import type { Script } from '../connection/scripts.ts';
import type { BullMqQueue } from './bullmq.ts';

/** An id that was taken here and is not settled. */
export interface Lease {
  readonly queue: BullMqQueue;
  readonly token: string;
  readonly priority: Priority;
}

/**
 * Renews the locks of ids that are taken here. One whose lock is gone gets it back as long as nobody else has taken the id: Redis may have been away
 * for longer than locks last. It is then also not counted among those that may be stalled.
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

/** What is taken here, and stays taken for as long as this instance lives. */
export interface Leases {
  get(id: string): Lease | undefined;
  set(id: string, hold: Lease): void;
  delete(id: string): void;
  all(): readonly (readonly [id: string, hold: Lease])[];
  stop(): void;
}

/** @param everyMs a fraction of `lockMs`: a stall of the event loop of the rest costs no lock */
export function createLeases(connection: Connection, lockMs: number, everyMs: number): Leases {
  const held = new Map<string, Lease>();

  async function renew() {
    const byBull = Map.groupBy(held, ([, { queue: bull }]) => bull);
    for (const [bull, entries] of byBull) {
      const tokens = entries.flatMap(([id, { token }]) => [id, token]);
      await connection
        .runScript(RENEW, bull.keys.active, bull.keys.stalled, bull.job(''), lockMs, ...tokens)
        .catch(() => {});
    }
  }

  const timer = setInterval(renew, everyMs);
  connection.onReconnect(() => void renew());
  return {
    get: (id) => held.get(id),
    set: (id, hold) => void held.set(id, hold),
    delete: (id) => void held.delete(id),
    all: () => [...held],
    stop: () => clearInterval(timer),
  };
}
