import { type Address, toAddrSpec } from '../../../core/message/address.ts';
import { toEncodedWords } from './encoded-word.ts';

/**
 * RFC 2047, section 2: the limit of a line with an encoded word. RFC 5322, section 2.1.1, recommends
 * at most 78 for any.
 */
const LINE_LENGTH = 76;
const MAX_LINE_OCTETS = 998;
/** A word this long still fits on one line of 998 octets, after a blank and before a comma. */
const MAX_WORD_OCTETS = 996;

/** A header field, folded: `name: body` without the line end. */
export type HeaderField = string;

/**
 * A field of free text (RFC 5322, section 2.2.1). Words become encoded words (RFC 2047) if they are
 * not printable ASCII, look like encoded words, or are too long for a line.
 */
export function unstructured(name: string, text: string): HeaderField {
  const words = splitBeforeBlanks(text);
  const encoded = isPlainText(text) ? words : encodeWhereNeeded(words, LINE_LENGTH - name.length - 2);
  // Some readers keep the blank after a first line without words, so only necessity breaks there.
  return fold(name, encoded, encoded[0]?.startsWith('=?') ? LINE_LENGTH : MAX_LINE_OCTETS);
}

/**
 * Encodes runs of words together: a reader drops the white space between two encoded words. Of the
 * blanks before a run, one separates it and the rest are encoded, so that its line is not too long.
 */
function encodeWhereNeeded(words: readonly string[], firstRoom: number): string[] {
  const encoded: string[] = [];
  for (let i = 0; i < words.length; ) {
    let run = '';
    while (i < words.length && !isPlainText(words[i] as string)) run += words[i++];
    if (run === '') {
      encoded.push(words[i++] as string);
      continue;
    }
    const isFirst = encoded.length === 0;
    const [first = '', ...others] = toEncodedWords(run.replace(/^ /, ''), isFirst ? firstRoom : undefined);
    encoded.push(isFirst ? first : ` ${first}`, ...others.map((word) => ` ${word}`));
  }
  return encoded;
}

/** A field of mailboxes (RFC 5322, section 3.4). */
export function mailboxes(name: string, addresses: readonly Address[]): HeaderField {
  const words = addresses.flatMap((address, i) => {
    const tokens = mailbox(address);
    const last = tokens.length - 1;
    return i < addresses.length - 1 ? tokens.with(last, `${tokens[last]},`) : tokens;
  });
  return fold(name, joinable(words));
}

/** A field of tokens that stay as they are, with blanks between: Message-IDs, URLs. */
export function tokens(name: string, words: readonly string[]): HeaderField {
  return fold(name, joinable(words));
}

/** A field with parameters, each a token of its own: `Content-Type`, `Content-Disposition`. */
export function parameterized(
  name: string,
  value: string,
  parameters: Readonly<Record<string, string>>,
): HeaderField {
  const words = [value, ...Object.entries(parameters).flatMap(([key, text]) => parameter(key, text))];
  return fold(name, joinable(words.map((word, i) => (i < words.length - 1 ? `${word};` : word))));
}

/** A phrase and an address in angle brackets; the address alone if there is no name. */
function mailbox({ email, name }: Address): string[] {
  const address = toAddrSpec(email);
  if (name) return [...phrase(name), `<${address}>`];
  // Some readers do not expect quotes outside of angle brackets.
  return [address.startsWith('"') ? `<${address}>` : address];
}

/** RFC 5322, section 3.2.5: atoms, a quoted string, or encoded words. */
function phrase(text: string): string[] {
  if (!isPlainText(text)) return toEncodedWords(text);
  if (ATOMS.test(text)) return text.split(' ');
  return [`"${text.replace(/["\\]/g, '\\$&')}"`];
}

const ATOMS = /^[\w!#$%&'*+\-/=?^`{|}~]+(?: [\w!#$%&'*+\-/=?^`{|}~]+)*$/;

/** RFC 2045 section 5.1; RFC 2231 for what is not ASCII or too long for a line. */
function parameter(name: string, text: string): string[] {
  if (/^[\w!#$&+\-.^`{|}~]+$/.test(text) && text.length <= MAX_SEGMENT) return [`${name}=${text}`];
  if (isPlainText(text) && !/["\\%]/.test(text) && text.length <= MAX_SEGMENT) return [`${name}="${text}"`];
  const segments = segmentsOf(text);
  if (segments.length === 1) return [`${name}*=utf-8''${segments[0]}`];
  return segments.map((segment, i) => `${name}*${i}*=${i === 0 ? "utf-8''" : ''}${segment}`);
}

const MAX_SEGMENT = 55;

/** A percent-encoded text, in pieces of whole characters. */
function segmentsOf(text: string): string[] {
  const segments: string[] = [];
  let segment = '';
  for (const character of text) {
    const encoded = /^[\w!#$&+\-.^`{|}~]$/.test(character) ? character : percentEncode(character);
    if (segment.length + encoded.length > MAX_SEGMENT) {
      segments.push(segment);
      segment = '';
    }
    segment += encoded;
  }
  return [...segments, segment];
}

function percentEncode(character: string): string {
  let encoded = '';
  for (const byte of Buffer.from(character))
    encoded += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  return encoded;
}

/** Whether a text can stand in a header as it is, and is read as it is. */
function isPlainText(text: string): boolean {
  if (!/^[ -~]*$/.test(text) || text.includes('=?')) return false;
  return text.length <= MAX_WORD_OCTETS || text.split(' ').every((word) => word.length <= MAX_WORD_OCTETS);
}

/** Cuts a text into words that keep the blanks before them, so that folding changes nothing. */
function splitBeforeBlanks(text: string): string[] {
  return text.split(/(?<=[^ ])(?= )/);
}

/** Words to be separated by one blank. */
function joinable(words: readonly string[]): string[] {
  return words.map((word, i) => (i === 0 ? word : ` ${word}`));
}

/**
 * Folds a field (RFC 5322, section 2.2.3).
 *
 * @param words all but the first start with a blank
 * @param firstLimit length of the first line up to which the first word stays on it
 */
function fold(name: string, words: readonly string[], firstLimit = LINE_LENGTH): HeaderField {
  let field = `${name}:`;
  let column = field.length;
  words.forEach((word, index) => {
    const text = index === 0 ? ` ${word}` : word;
    const octets = Buffer.byteLength(text);
    if (column + octets > (index === 0 ? firstLimit : LINE_LENGTH)) {
      field += '\r\n';
      column = 0;
    }
    field += text;
    column += octets;
  });
  return field;
}
