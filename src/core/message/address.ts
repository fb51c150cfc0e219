import { domainToASCII, domainToUnicode } from 'node:url';

/** A mailbox, validated: `email` has an ASCII (A-label) domain in lower case and no quoted local part; neither field has control characters. */
export interface Address {
  readonly email: string;
  readonly name: string | null;
}

/** A text that is not a mailbox. `reason` is meant for the caller: what is wrong, and the mend. It never repeats the text. */
export class AddressError extends Error {
  override readonly name = 'AddressError';
  readonly reason: string;

  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}

/** RFC 5321, section 4.5.3.1.3: a path has at most 256 octets, two of which are its angle brackets. */
const MAX_EMAIL_OCTETS = 254;
/** RFC 5321, section 4.5.3.1.1. */
const MAX_LOCAL_OCTETS = 64;
/** RFC 1035, section 2.3.4. */
const MAX_LABEL_OCTETS = 63;
const MAX_NAME_LENGTH = 255;
/** A name with each character escaped, an address, and what stands around them. Keeps hostile input from the slower checks. */
const MAX_MAILBOX_LENGTH = 2 * MAX_NAME_LENGTH + 2 * MAX_EMAIL_OCTETS;

const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u;

/**
 * Whether a text has a character that must never reach a header or an SMTP command: C0, DEL and C1 controls, the Unicode line and
 * paragraph separators, and surrogates without their other half, which UTF-8 cannot encode.
 */
export function hasControlCharacters(text: string): boolean {
  return CONTROL.test(text);
}

/**
 * Reads one mailbox: `ada@example.com`, `Ada <ada@example.com>` or `"Lovelace, Ada" <ada@example.com>`. Spaces around it are dropped.
 *
 * @throws {AddressError} when it is none of these, or more than one
 */
export function parseAddress(text: string): Address {
  const usual = parseUsualEmail(text);
  if (usual !== null) return { email: usual, name: null };
  if (text.length > MAX_MAILBOX_LENGTH)
    throw new AddressError('The address is too long: give one address, with a shorter name.');
  refuseControlCharacters(text, 'address');

  const mailbox = text.replace(/^ +| +$/g, '');
  if (!mailbox.endsWith('>')) return { email: parseEmail(mailbox), name: null };
  const match = NAMED_MAILBOX.exec(mailbox);
  if (match === null) throw new AddressError(hasSeveralAddresses(mailbox) ? ONE_PER_ITEM : QUOTE_THE_NAME);
  const [, quoted, plain = '', email = ''] = match;
  const name = parseDisplayName(quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1'));
  return { email: parseEmail(email), name: name === '' ? null : name };
}

/** RFC 5322 `name-addr`. Outside quotes, characters are refused that other parsers could take for the end of one address. */
const NAMED_MAILBOX = /^(?:"((?:[^"\\]|\\.)*)" *|([^"<>@,;:\\]*))<([^<>]*)>$/u;

const ONE_PER_ITEM = 'There is more than one address: give one address per item.';
const QUOTE_THE_NAME =
  'The name before the address has a character that must stand in quotes: write "Lovelace, Ada" <ada@example.com>, or give name and email apart.';

/** Whether a text, which is no mailbox, is more than one. */
export function hasSeveralAddresses(text: string): boolean {
  return /@[^,;]*[,;].*@/s.test(text.replace(/"(?:[^"\\]|\\.)*"/gs, ''));
}

/**
 * The name shown beside an address, trimmed. Empty if there is nothing else in it.
 *
 * @throws {AddressError} when it has control characters or is too long
 */
export function parseDisplayName(text: string): string {
  refuseControlCharacters(text, 'name');
  const name = text.trim();
  if (name.length > MAX_NAME_LENGTH)
    throw new AddressError(`The name is longer than ${MAX_NAME_LENGTH} characters: shorten it.`);
  return name;
}

function refuseControlCharacters(text: string, what: string): void {
  if (hasControlCharacters(text)) {
    throw new AddressError(
      `The ${what} has a control character, such as a line break, or half of a surrogate pair: remove it.`,
    );
  }
}

/**
 * A bare address in canonical form, so that equal mailboxes are equal strings: the domain as A-labels in lower case, the local part in
 * NFC (RFC 6532, section 3.1) with its case kept, since only the receiving server knows what case means to it.
 *
 * At docomo and au (ezweb) a local part may have two dots in a row or one at its end. RFC 5321 wants it in quotes; it is taken and kept
 * without them, as {@link toAddrSpec} adds them.
 *
 * @throws {AddressError} when it is not an address, or one of the kinds that mail programs read in different ways: other quoted local parts,
 *   comments, IP addresses in brackets, and characters that are invisible or that IDNA would silently turn into others
 */
export function parseEmail(written: string): string {
  const usual = parseUsualEmail(written);
  if (usual !== null) return usual;
  const text = written.length > MAX_MAILBOX_LENGTH ? written : written.replace(QUOTED_FOR_DOTS, '$1');
  refuseForeignSyntax(text);
  const at = text.indexOf('@');
  const local = parseLocalPart(text.slice(0, at), FREE_DOTS.test(text.slice(at)));
  const domain = parseDomain(text.slice(at + 1));
  const email = `${local}@${domain}`;
  if (Buffer.byteLength(email) > MAX_EMAIL_OCTETS)
    throw new AddressError(`The address is longer than ${MAX_EMAIL_OCTETS} bytes: check it.`);
  return email;
}

/** Returns an address as RFC 5321 and RFC 5322 write it: a local part that is no dot-atom stands in quotes. */
export function toAddrSpec(email: string): string {
  const at = email.lastIndexOf('@');
  const local = email.slice(0, at);
  return /\.\.|\.$/.test(local) ? `"${local}"${email.slice(at)}` : email;
}

/** Equal for addresses that are one mailbox to Gmail, which minds case neither after the @ nor before it. */
export function toMailboxKey(email: string): string {
  return email.toLowerCase();
}

const ATEXT = "A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-";
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
const USUAL = new RegExp(
  `^(?=[^@]{1,${MAX_LOCAL_OCTETS}}@)[${ATEXT}]+(?:\\.[${ATEXT}]+)*@(?:${LABEL}\\.)+[A-Za-z]{1,${MAX_LABEL_OCTETS}}$`,
);

/** Until 2009 these let their customers choose such local parts, and they still work. au.com is ezweb.ne.jp under its new name. */
const FREE_DOTS = /@(?:docomo\.ne\.jp|ezweb\.ne\.jp|au\.com)$/i;
const QUOTED_FOR_DOTS = new RegExp(`^"(?=[^"]*(?:\\.\\.|\\."))([${ATEXT}.]+)"(?=${FREE_DOTS.source})`, 'i');

/** The quick way for plain ASCII addresses, which are nearly all. Null says nothing yet: the careful way decides, and explains. */
function parseUsualEmail(text: string): string | null {
  if (text.length > MAX_EMAIL_OCTETS || !USUAL.test(text) || text.includes('--')) return null;
  const at = text.indexOf('@');
  return text.slice(0, at) + text.slice(at).toLowerCase();
}

function refuseForeignSyntax(text: string): void {
  if (text === '') throw new AddressError('The address is empty: write it as name@example.com.');
  if (text.length > MAX_MAILBOX_LENGTH)
    throw new AddressError(`The address is longer than ${MAX_EMAIL_OCTETS} bytes: check it.`);
  refuseControlCharacters(text, 'address');
  if (hasSeveralAddresses(text)) throw new AddressError(ONE_PER_ITEM);
  if (/[<>]/.test(text)) {
    throw new AddressError(
      'An angle bracket is out of place: write ada@example.com, or Ada <ada@example.com> where a name is allowed.',
    );
  }
  if (text.includes('"')) {
    throw new AddressError(
      'An address with quotes before the @ is not supported, since mail programs disagree on it: use another address.',
    );
  }
  if (/[()]/.test(text))
    throw new AddressError('An address with a comment in parentheses is not supported: remove the comment.');
  if (/\s/u.test(text)) throw new AddressError('There is white space in the address: remove it.');
  const ats = text.split('@').length - 1;
  if (ats === 0) throw new AddressError('There is no @ in the address: write it as name@example.com.');
  if (ats > 1)
    throw new AddressError('There is more than one @ in the address: write it as name@example.com.');
}

/**
 * RFC 5322 atoms, and of what RFC 6532 adds only letters, marks and digits: no symbols, no private or unassigned characters, and nothing
 * that shows no glyph of its own.
 */
const LOCAL_CHARACTER = new RegExp(
  `^(?:[${ATEXT}.]|(?!\\p{Default_Ignorable_Code_Point})[\\p{L}\\p{M}\\p{Nd}])$`,
  'u',
);

function parseLocalPart(text: string, freeDots: boolean): string {
  // Both forms are read: composing may hide a forbidden character (U+1FEF becomes "`") or make one ("=" and U+0338 become U+2260).
  const local = text.normalize('NFC');
  const odd = [...text, ...local].find((character) => !LOCAL_CHARACTER.test(character));
  if (odd !== undefined)
    throw new AddressError(
      `The part before the @ has ${quoteCharacter(odd)}, which is not supported: check it.`,
    );
  if (freeDots ? local === '' || local.startsWith('.') : local.split('.').includes('')) {
    throw new AddressError(
      'The part before the @ is empty, or has a dot at its start or end, or two in a row: check it.',
    );
  }
  if (/(?:^|\.)\p{M}/u.test(local))
    throw new AddressError('The part before the @ starts with a combining mark: check it.');
  if (Buffer.byteLength(local) > MAX_LOCAL_OCTETS) {
    throw new AddressError(`The part before the @ is longer than ${MAX_LOCAL_OCTETS} bytes: check it.`);
  }
  return local;
}

function parseDomain(text: string): string {
  if (text.startsWith('['))
    throw new AddressError(
      'An IP address after the @ is not supported: use a domain, as in name@example.com.',
    );
  // The mapping reads its input as a part of a URL: "%", ":" and the like must not get there, nor be made by composing.
  const written = text.normalize('NFC');
  const odd = /[^A-Za-z0-9.\-\u{80}-\u{10ffff}]/u.exec(written)?.[0];
  if (odd !== undefined)
    throw new AddressError(
      `The domain has ${quoteCharacter(odd)}: use only letters, digits, hyphens and dots.`,
    );
  if (written.split('.').includes('')) {
    throw new AddressError(
      'The domain is empty, or has a dot at its start or end, or two in a row: write it as name@example.com.',
    );
  }
  const domain = toALabels(lowerCase(written));
  refuseLabels(domain.split('.'));
  return domain;
}

function refuseLabels(labels: readonly string[]): void {
  if (labels.length === 1)
    throw new AddressError('The domain has no dot: write it in full, as in name@example.com.');
  if (labels.some((label) => label.length > MAX_LABEL_OCTETS)) {
    throw new AddressError(
      `A part of the domain between two dots is longer than ${MAX_LABEL_OCTETS} bytes: check it.`,
    );
  }
  // RFC 5890, section 2.3.1: two hyphens in the third and fourth place are kept for A-labels.
  if (labels.some((label) => /^-|-$|^(?!xn)..--/.test(label))) {
    throw new AddressError(
      'A part of the domain starts or ends with a hyphen, or has two as its third and fourth characters: check it.',
    );
  }
  // RFC 1123, section 2.1: the last label is alphabetic, which tells names from 10.0.0.1 and 0x7f.1.
  if (!/^(?:[a-z]+|xn--.+)$/.test(labels.at(-1) ?? '')) {
    throw new AddressError(
      'The domain must end in letters, as in name@example.com, and cannot be an IP address.',
    );
  }
}

/** UTS 46, but strict: a domain that the mapping would change, save for case and NFC, is refused. A reader would see another domain. */
function toALabels(written: string): string {
  if (/^[a-z0-9.-]*$/.test(written) && !/(?:^|\.)xn--/.test(written)) return written;

  // Where IDNA refuses a domain, Node gives an empty string; where it cannot decode an A-label, it gives the A-label back.
  const domain = domainToASCII(written);
  const aLabels = domain.split('.');
  const uLabels = domainToUnicode(domain).normalize('NFC').split('.');
  const unchanged = written
    .split('.')
    .every((label, i) =>
      label.startsWith('xn--') ? label === aLabels[i] && label !== uLabels[i] : label === uLabels[i],
    );
  if (!unchanged) {
    throw new AddressError(
      'The domain is not a valid internationalised name, or has invisible or full-width characters: check it.',
    );
  }
  return domain;
}

/** By character, without regard to its neighbours, as UTS 46 does: the Greek final sigma is a letter of its own in domains. */
function lowerCase(text: string): string {
  return Array.from(text, (character) => character.toLowerCase()).join('');
}

function quoteCharacter(character: string): string {
  const codePoint = character.codePointAt(0) ?? 0;
  return codePoint < 0x7f
    ? `the character ${character}`
    : `the character U+${codePoint.toString(16).toUpperCase().padStart(4, '0')}`;
}
