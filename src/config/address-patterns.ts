import { AddressError, parseEmail } from '../core/message/address.ts';
import { InvalidValue } from './value-parsers.ts';

/**
 * Parses addresses, and domains written as `@example.com`, into canonical form.
 *
 * @throws {InvalidValue} With the position of the invalid entry.
 */
export function parsePatterns(entries: readonly string[]): string[] {
  return [...new Set(entries.map((entry, i) => parsePattern(entry, `Entry ${i + 1}`)))];
}

function parsePattern(entry: string, label: string): string {
  const domainOnly = entry.startsWith('@');
  try {
    const email = parseEmail(domainOnly ? `x${entry}` : entry);
    return domainOnly ? email.slice(1) : email;
  } catch (error) {
    if (!(error instanceof AddressError)) throw error;
    throw new InvalidValue(`${label}: ${error.reason} Write an address, or a domain as @example.com.`);
  }
}
