import ipaddr from 'ipaddr.js';

/** The addresses of a network. */
export interface AddressRange {
  readonly family: 4 | 6;
  readonly first: bigint;
  readonly last: bigint;
}

/** @param network an address, or a network in CIDR notation */
export function toRange(network: string): AddressRange {
  const [address, prefix] = network.includes('/')
    ? ipaddr.parseCIDR(network)
    : [ipaddr.parse(network), Number.POSITIVE_INFINITY];
  const bytes = Buffer.from(address.toByteArray());
  const hostBits = BigInt(Math.max(0, bytes.length * 8 - prefix));
  const first = (BigInt(`0x${bytes.toString('hex')}`) >> hostBits) << hostBits;
  return { family: bytes.length === 4 ? 4 : 6, first, last: first + (1n << hostBits) - 1n };
}

/** Whether every address of the range is in one of the others. */
export function isCovered(range: AddressRange, others: readonly AddressRange[]): boolean {
  let next = range.first;
  for (const other of others.filter(overlapping(range)).toSorted(byFirst)) {
    if (other.first > next) return false;
    if (other.last >= next) next = other.last + 1n;
  }
  return next > range.last;
}

/** Returns a function that tests whether another range has an address of this one. */
export function overlapping({ family, first, last }: AddressRange): (other: AddressRange) => boolean {
  return (other) => other.family === family && other.first <= last && other.last >= first;
}

function byFirst(a: AddressRange, b: AddressRange): number {
  return a.first < b.first ? -1 : 1;
}
