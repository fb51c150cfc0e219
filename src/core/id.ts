import { hash, randomFillSync } from 'node:crypto';

const BYTES = 16;
/** Asking the system for 4 KB of randomness costs hardly more than asking for 16 bytes. */
const pool = Buffer.alloc(256 * BYTES);
let used = pool.length;

/** 128 random bits after the prefix: `msg_…`. */
export function createId(prefix: 'msg' | 'evt' | 'ntc'): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += BYTES;
  return `${prefix}_${pool.toString('hex', used - BYTES, used)}`;
}

/** The id of the message at this place of a request: the same whenever that is taken up again, and as hard to guess as its seed. */
export function messageIdFrom(seed: string, index: number): string {
  return `msg_${hash('sha256', `${seed}:${index}`).slice(0, 2 * BYTES)}`;
}
