/** Size of the filter. With a hundred thousand keys, 2 % of the others pass, too. */
const BITS = 2 ** 20;
const HASHES = 4;

/**
 * A Bloom filter of mailbox keys, of a fixed size. It says for certain that a mailbox has no
 * suppression, without asking the database.
 */
export type MailboxFilter = Uint8Array<ArrayBuffer>;

export function createMailboxFilter(): MailboxFilter {
  return new Uint8Array(BITS / 8);
}

export function addMailbox(filter: MailboxFilter, mailboxKey: string): void {
  for (const bit of bitsOf(mailboxKey)) filter[bit >> 3] = (filter[bit >> 3] ?? 0) | (1 << (bit & 7));
}

/** Whether the mailbox may have been added. False if it was not. */
export function mayContain(filter: MailboxFilter, mailboxKey: string): boolean {
  return bitsOf(mailboxKey).every((bit) => ((filter[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0);
}

/** Derives several hashes from two (https://doi.org/10.1002/rsa.20208). */
function bitsOf(text: string): number[] {
  const [first, second] = [fnv1a(text, 0x811c9dc5), fnv1a(text, 0x9e3779b9) | 1];
  return Array.from({ length: HASHES }, (_, i) => (first + i * second) & (BITS - 1));
}

/** FNV-1a over the code units (http://www.isthe.com/chongo/tech/comp/fnv/). */
function fnv1a(text: string, basis: number): number {
  let hash = basis;
  for (let i = 0; i < text.length; i += 1) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
