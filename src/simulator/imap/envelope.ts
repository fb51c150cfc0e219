/** The ENVELOPE of a mail (RFC 3501, section 7.4.2). */
import { findField, parseHeader } from '../mailbox/header.ts';
import { quote, quoteOrNil } from './text.ts';

export function toEnvelope(content: string): string {
  const fields = parseHeader(content);
  const text = (name: string) => quoteOrNil(findField(fields, name));
  const addresses = (name: string) => toAddresses(findField(fields, name));
  const from = addresses('From');
  const or = (list: string, fallback: string) => (list === 'NIL' ? fallback : list);
  return `(${[
    text('Date'),
    text('Subject'),
    from,
    or(addresses('Sender'), from),
    or(addresses('Reply-To'), from),
    addresses('To'),
    addresses('Cc'),
    addresses('Bcc'),
    text('In-Reply-To'),
    text('Message-ID'),
  ].join(' ')})`;
}

/** Parses a list of addresses. A group is between an entry with its name and an empty one. */
function toAddresses(value: string | null): string {
  if (value === null) return 'NIL';
  const parts = value.match(/[^,:;<"@]+:|;|(?:"(?:[^"\\]|\\.)*"|<[^>]*>|[^,;"<])+/g) ?? [];
  const addresses = parts.flatMap((part) => {
    if (part === ';') return '(NIL NIL NIL NIL)';
    const group = /^([^@"<]*):$/.exec(part.trim())?.[1];
    if (group !== undefined) return `(NIL NIL ${quote(group)} NIL)`;
    const [, phrase = '', bracketed] = /^([^<]*)(?:<([^>]*)>)?\s*$/.exec(part.trim()) ?? [];
    const address = bracketed ?? phrase.replace(/\([^()]*\)/g, '').trim();
    const at = address.lastIndexOf('@');
    if (at < 1) return [];
    const name =
      bracketed === undefined
        ? ''
        : phrase
            .trim()
            .replace(/^"(.*)"$/, '$1')
            .replace(/\\(.)/g, '$1');
    const [local, domain] = [address.slice(0, at), address.slice(at + 1)];
    return `(${quoteOrNil(name || null)} NIL ${quote(local)} ${quote(domain)})`;
  });
  return addresses.length > 0 ? `(${addresses.join('')})` : 'NIL';
}
