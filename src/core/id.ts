import { hash, randomFillSync } from 'node:crypto';

const BYTES = 16;
/** Getting 4 KB of random bytes from the system costs hardly more than getting 16. */
const pool = Buffer.alloc(256 * BYTES);
let used = pool.length;

/** Returns a new id: the prefix and 128 random bits in hex, such as `msg_…`. */
export function createId(prefix: 'msg' | 'evt' | 'ntc'): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += BYTES;
  return `${prefix}_${pool.toString('hex', used - BYTES, used)}`;
}

/**
 * Returns the id of the message at an index of a request. Repeating the request with the same seed
 * gives the same id, which is as hard to guess as the seed.
 */
export function messageIdFrom(seed: string, index: number): string {
  return `msg_${hash('sha256', `${seed}:${index}`).slice(0, 2 * BYTES)}`;
}
