import { randomFillSync } from 'node:crypto';

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
