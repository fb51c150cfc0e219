import { hash, randomFillSync } from 'node:crypto';

const BYTES = 16;
/**
 * Bytes that the ids of one pool share, so that messages accepted together change few pages of an
 * index of ids.
 */
const SHARED_BYTES = 4;
/** Getting 4 KB of random bytes from the system costs hardly more than getting 16. */
const pool = Buffer.alloc(256 * BYTES);
let used = pool.length;

/**
 * Returns a new id: the prefix and 128 random bits in hex, such as `msg_…`. Ids created in a row
 * share the first 32 bits; the other 96 cannot be guessed.
 */
export function createId(prefix: 'msg' | 'evt' | 'ntc'): string {
  if (used === pool.length) {
    randomFillSync(pool);
    for (let at = BYTES; at < pool.length; at += BYTES) pool.copy(pool, at, 0, SHARED_BYTES);
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
