import type { Entry } from '../mailbox/folder.ts';
import { BadCommand } from './arguments.ts';
import type { Selection } from './session.ts';

/** A mail with its sequence number. */
export interface Numbered extends Entry {
  readonly number: number;
}

export function numberEntries({ view }: Selection): Numbered[] {
  return view.map((entry, index) => ({ ...entry, number: index + 1 }));
}

/** Whether the text is a set, such as `1:3,7,10:*`. */
export function isSet(text: string): boolean {
  return /^([1-9]\d*|\*)(:([1-9]\d*|\*))?(,([1-9]\d*|\*)(:([1-9]\d*|\*))?)*$/.test(text);
}

/**
 * Returns a test for numbers: whether one is in the set.
 *
 * @param largest the value of `*`
 * @throws {BadCommand}
 */
export function parseSet(text: string, largest: number): (number: number) => boolean {
  if (!isSet(text)) throw new BadCommand(`Not a set of messages: ${text}`);
  const toNumber = (bound: string) => (bound === '*' ? largest : Number(bound));
  const ranges = text.split(',').map((part) => {
    const [from = '', to = from] = part.split(':');
    const bounds = [toNumber(from), toNumber(to)] as const;
    return { from: Math.min(...bounds), to: Math.max(...bounds) };
  });
  return (number) => ranges.some(({ from, to }) => number >= from && number <= to);
}
