import { toMailboxKey } from '../message/address.ts';
import type { Delivery } from './delivery.ts';
import type { DeliveryQuery } from './delivery-query.ts';

/** Number of bits in each half of a signature. */
const HALF_BITS = 26;
const BITS_PER_TERM = 5;

/**
 * A Bloom filter of what never changes about a delivery and can be searched: its owner, recipients
 * and tags. With a few terms it excludes more than 99 % of the deliveries that do not match.
 *
 * Two halves of 26 bits, since bit operations of JavaScript have 32 bits.
 */
export interface Signature {
  readonly high: number;
  readonly low: number;
}

export function signatureOf({ owner, recipients, tags }: Delivery): Signature {
  const terms = [ownerTerm(owner)];
  for (const { email } of recipients) terms.push(recipientTerm(toMailboxKey(email)));
  for (const name in tags) terms.push(tagTerm(name), tagTerm(`${name}:${tags[name]}`));
  return toSignature(terms);
}

/** Returns the bits that a delivery has if it matches, or null if the query has no such filter. */
export function signatureOfQuery({ owner, recipient, tag }: DeliveryQuery): Signature | null {
  const terms = [
    owner === null ? [] : ownerTerm(owner),
    recipient === null ? [] : recipientTerm(recipient),
    tag === null ? [] : tagTerm(tag),
  ].flat();
  return terms.length === 0 ? null : toSignature(terms);
}

/** Whether a delivery with a signature may match a query with the other. False if it does not. */
export function mayMatch(delivery: Signature, query: Signature): boolean {
  return (delivery.high & query.high) === query.high && (delivery.low & query.low) === query.low;
}

/** Returns the bits of both halves as one number, an integer that is exact. */
export function toNumber({ high, low }: Signature): number {
  return high * 2 ** HALF_BITS + low;
}

const ownerTerm = (owner: string) => `k${owner}`;
const recipientTerm = (mailboxKey: string) => `r${mailboxKey}`;
const tagTerm = (tag: string) => `t${tag}`;

function toSignature(terms: readonly string[]): Signature {
  let [high, low] = [0, 0];
  for (const term of terms) {
    let hash = hashOf(term);
    for (let i = 0; i < BITS_PER_TERM; i += 1) {
      const bit = hash % (2 * HALF_BITS);
      if (bit < HALF_BITS) low |= 1 << bit;
      else high |= 1 << (bit - HALF_BITS);
      hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
    }
  }
  return { high, low };
}

/** FNV-1a over the code units (http://www.isthe.com/chongo/tech/comp/fnv/). */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
