import { domainToASCII, domainToUnicode } from 'node:url';

/**
 * A validated mailbox. `email` has an ASCII (A-label) domain in lower case and no quoted local
 * part. Neither field contains control characters.
 */
export interface Address {
  readonly email: string;
  readonly name: string | null;
}

/**
 * A text that is not a mailbox. `reason` tells the client the problem and the fix, and never
 * repeats the text.
 */
export class AddressError extends Error {
  override readonly name = 'AddressError';
  readonly reason: string;

  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}

/** RFC 5321, section 4.5.3.1.3: a path has at most 256 octets, including two angle brackets. */
const MAX_EMAIL_OCTETS = 254;
/** RFC 5321, section 4.5.3.1.1. */
const MAX_LOCAL_OCTETS = 64;
/** RFC 1035, section 2.3.4. */
const MAX_LABEL_OCTETS = 63;
const MAX_NAME_LENGTH = 255;
/**
 * Fits a name with every character escaped, an address and their delimiters. Keeps hostile input
 * from the slower checks.
 */
const MAX_MAILBOX_LENGTH = 2 * MAX_NAME_LENGTH + 2 * MAX_EMAIL_OCTETS;

const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u;

/**
 * Whether a text has a character that must never reach a header or an SMTP command: C0, DEL and C1
 * controls, the Unicode line and paragraph separators, and unpaired surrogates, which UTF-8 cannot
 * encode.
 */
export function hasControlCharacters(text: string): boolean {
  return CONTROL.test(text);
}

/**
 * Parses one mailbox: `ada@example.com`, `Ada <ada@example.com>` or
 * `"Lovelace, Ada" <ada@example.com>`. Drops surrounding spaces.
 *
 * @throws {AddressError} If the text is none of these, or several mailboxes.
 */
export function parseAddress(text: string): Address {
  const simple = parseSimpleEmail(text);
  if (simple !== null) return { email: simple, name: null };
  if (text.length > MAX_MAILBOX_LENGTH)
    throw new AddressError('The address is too long: give one address, with a shorter name.');
  checkControlCharacters(text, 'address');

  const mailbox = text.replace(/^ +| +$/g, '');
  if (!mailbox.endsWith('>')) return { email: parseEmail(mailbox), name: null };
  const match = NAMED_MAILBOX.exec(mailbox);
  if (match === null) throw new AddressError(hasSeveralAddresses(mailbox) ? ONE_PER_ITEM : QUOTE_THE_NAME);
  const [, quoted, plain = '', email = ''] = match;
  const name = parseDisplayName(quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1'));
  return { email: parseEmail(email), name: name === '' ? null : name };
}

/**
 * RFC 5322 `name-addr`. Outside quotes, excludes characters that other parsers may read as the end
 * of an address.
 */
const NAMED_MAILBOX = /^(?:"((?:[^"\\]|\\.)*)" *|([^"<>@,;:\\]*))<([^<>]*)>$/u;

const ONE_PER_ITEM = 'There is more than one address: give one address per item.';
const QUOTE_THE_NAME =
  'The name before the address has a character that must be quoted: write "Lovelace, Ada" <ada@example.com>, or give name and email separately.';

/** Whether a text that is not a mailbox is a list of several. */
export function hasSeveralAddresses(text: string): boolean {
  return /@[^,;]*[,;].*@/s.test(text.replace(/"(?:[^"\\]|\\.)*"/gs, ''));
}

/**
 * Trims and checks a display name. The result can be empty.
 *
 * @throws {AddressError} If the name has control characters or is too long.
 */
export function parseDisplayName(text: string): string {
  checkControlCharacters(text, 'name');
  const name = text.trim();
  if (name.length > MAX_NAME_LENGTH)
    throw new AddressError(`The name is longer than ${MAX_NAME_LENGTH} characters: shorten it.`);
  return name;
}

function checkControlCharacters(text: string, noun: string): void {
  if (hasControlCharacters(text)) {
    throw new AddressError(
      `The ${noun} has a control character, such as a line break, or half of a surrogate pair: remove it.`,
    );
  }
}

/**
 * Parses a bare address into its canonical form, so that equal mailboxes are equal strings. The
 * domain becomes A-labels in lower case. The local part becomes NFC (RFC 6532, section 3.1) and
 * keeps its case, which only the receiving server can interpret.
 *
 * At docomo and au (ezweb) a local part may have two dots in a row or one at its end. RFC 5321
 * requires quotes for it. It is accepted and kept without them; {@link toAddrSpec} adds them.
 *
 * @throws {AddressError} If the text is not an address, or mail programs disagree on how to read
 *   it: other quoted local parts, comments, IP addresses in brackets, and characters that are
 *   invisible or that IDNA would silently replace.
 */
export function parseEmail(written: string): string {
  const simple = parseSimpleEmail(written);
  if (simple !== null) return simple;
  const text = written.length > MAX_MAILBOX_LENGTH ? written : written.replace(QUOTED_FOR_DOTS, '$1');
  checkSyntax(text);
  const at = text.indexOf('@');
  const local = parseLocalPart(text.slice(0, at), FREE_DOTS.test(text.slice(at)));
  const domain = parseDomain(text.slice(at + 1));
  const email = `${local}@${domain}`;
  if (Buffer.byteLength(email) > MAX_EMAIL_OCTETS)
    throw new AddressError(`The address is longer than ${MAX_EMAIL_OCTETS} bytes: check it.`);
  return email;
}

/**
 * Returns an address in the syntax of RFC 5321 and 5322: quotes a local part that is not a
 * dot-atom.
 */
export function toAddrSpec(email: string): string {
  const at = email.lastIndexOf('@');
  const local = email.slice(0, at);
  return /\.\.|\.$/.test(local) ? `"${local}"${email.slice(at)}` : email;
}

/** Returns a key that is equal for addresses of one mailbox at Gmail, which ignores case. */
export function toMailboxKey(email: string): string {
  return email.toLowerCase();
}

/** Returns the part of an address after the @. */
export function domainOf(email: string): string {
  return email.slice(email.lastIndexOf('@') + 1);
}

/** Whether an address belongs to a personal Gmail account, by its domain in lower case. */
export function isPersonalGmail(email: string): boolean {
  return /@(?:gmail|googlemail)\.com$/.test(email);
}

const ATEXT = "A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-";
const LABEL = '[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?';
const SIMPLE_EMAIL = new RegExp(
  `^(?=[^@]{1,${MAX_LOCAL_OCTETS}}@)[${ATEXT}]+(?:\\.[${ATEXT}]+)*@(?:${LABEL}\\.)+[A-Za-z]{1,${MAX_LABEL_OCTETS}}$`,
);

/**
 * Until 2009 their customers could choose such local parts, which still work. au.com was
 * ezweb.ne.jp.
 */
const FREE_DOTS = /@(?:docomo\.ne\.jp|ezweb\.ne\.jp|au\.com)$/i;
const QUOTED_FOR_DOTS = new RegExp(`^"(?=[^"]*(?:\\.\\.|\\."))([${ATEXT}.]+)"(?=${FREE_DOTS.source})`, 'i');

/** Fast path for plain ASCII addresses, which are nearly all. Null: the full parser must decide. */
function parseSimpleEmail(text: string): string | null {
  if (text.length > MAX_EMAIL_OCTETS || !SIMPLE_EMAIL.test(text) || text.includes('--')) return null;
  const at = text.indexOf('@');
  return text.slice(0, at) + text.slice(at).toLowerCase();
}

/** Refuses what is not a bare address, with a reason that fits the mistake. */
function checkSyntax(text: string): void {
  if (text === '') throw new AddressError('The address is empty: write it as name@example.com.');
  if (text.length > MAX_MAILBOX_LENGTH)
    throw new AddressError(`The address is longer than ${MAX_EMAIL_OCTETS} bytes: check it.`);
  checkControlCharacters(text, 'address');
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
 * RFC 5322 atoms, and only letters, marks and digits of those that RFC 6532 adds: no symbols, no
 * private or unassigned characters, and none without a visible glyph.
 */
const LOCAL_CHARACTER = new RegExp(
  `^(?:[${ATEXT}.]|(?!\\p{Default_Ignorable_Code_Point})[\\p{L}\\p{M}\\p{Nd}])$`,
  'u',
);

function parseLocalPart(text: string, freeDots: boolean): string {
  // Checks both forms: composing may hide a forbidden character (U+1FEF becomes "`") or create one
  // ("=" and U+0338 become U+2260).
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
  // The mapping parses its input as part of a URL, so "%", ":" and the like must not reach it, nor
  // be created by composing.
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
  checkLabels(domain.split('.'));
  return domain;
}

function checkLabels(labels: readonly string[]): void {
  if (labels.length === 1)
    throw new AddressError('The domain has no dot: write it in full, as in name@example.com.');
  if (labels.some((label) => label.length > MAX_LABEL_OCTETS)) {
    throw new AddressError(
      `A part of the domain between two dots is longer than ${MAX_LABEL_OCTETS} bytes: check it.`,
    );
  }
  // RFC 5890, section 2.3.1: two hyphens in the third and fourth place are reserved for A-labels.
  if (labels.some((label) => /^-|-$|^(?!xn)..--/.test(label))) {
    throw new AddressError(
      'A part of the domain starts or ends with a hyphen, or has two as its third and fourth characters: check it.',
    );
  }
  // RFC 1123, section 2.1: the last label is alphabetic, which distinguishes names from 10.0.0.1
  // and 0x7f.1.
  if (!/^(?:[a-z]+|xn--.+)$/.test(labels.at(-1) ?? '')) {
    throw new AddressError(
      'The domain must end in letters, as in name@example.com, and cannot be an IP address.',
    );
  }
}

/**
 * Maps a domain to A-labels (UTS 46). Refuses a domain that the mapping changes by more than case
 * and NFC: a reader would see another domain.
 */
function toALabels(written: string): string {
  if (/^[a-z0-9.-]*$/.test(written) && !/(?:^|\.)xn--/.test(written)) return written;

  // Node returns an empty string for an invalid domain, and an A-label it cannot decode unchanged.
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

/**
 * Lower-cases each character on its own, as UTS 46 does: in domains, the Greek final sigma stays
 * distinct.
 */
function lowerCase(text: string): string {
  return Array.from(text, (character) => character.toLowerCase()).join('');
}

function quoteCharacter(character: string): string {
  const codePoint = character.codePointAt(0) ?? 0;
  return codePoint < 0x7f
    ? `the character ${character}`
    : `the character U+${codePoint.toString(16).toUpperCase().padStart(4, '0')}`;
}
