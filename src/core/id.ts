import { randomFillSync } from 'node:crypto';

const BYTES = 16;
/** Asking the system for 4 KB of randomness costs hardly more than asking for 16 bytes. */
const pool = Buffer.alloc(256 * BYTES);
let used = pool.length;

/** A message id of 128 random bits. */
export function createMessageId(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += BYTES;
  return `msg_${pool.toString('hex', used - BYTES, used)}`;
}
