import { AddressError, parseEmail } from '../core/message/address.ts';
import { InvalidValue } from './values.ts';

/**
 * Addresses, and domains as `@example.com`, in canonical form.
 *
 * @throws {InvalidValue} naming the entry by its position
 */
export function parsePatterns(entries: readonly string[]): string[] {
  return [...new Set(entries.map((entry, i) => parsePattern(entry, `Entry ${i + 1}`)))];
}

function parsePattern(entry: string, which: string): string {
  const domainOnly = entry.startsWith('@');
  try {
    const email = parseEmail(domainOnly ? `x${entry}` : entry);
    return domainOnly ? email.slice(1) : email;
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    throw new InvalidValue(`${which}: ${error.reason} Write an address, or a domain as @example.com.`);
  }
}
