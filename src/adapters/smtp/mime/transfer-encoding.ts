import { setImmediate as nextTurn } from 'node:timers/promises';
import { type BodyText, toBytes } from '../../../core/message/body-text.ts';

/** Bytes encoded or scanned between two turns of the event loop. A multiple of a line of base64. */
const SLICE_BYTES = 2 * 57 * 1024;
/**
 * Encoders write a slice here before its length is known: a new buffer for the longest possible
 * result of each would make V8 collect garbage all the time.
 */
const SCRATCH = Buffer.allocUnsafeSlow(SLICE_BYTES * 4);
/** RFC 5322, section 2.1.1, without CRLF. */
const MAX_LINE_OCTETS = 998;
/** RFC 2045, sections 6.7 (rule 5) and 6.8. */
const ENCODED_LINE = 76;
const BYTES_PER_BASE64_LINE = (ENCODED_LINE / 4) * 3;

/** Quoted-printable, which people can read in a message's source, may be this much longer. */
const QUOTED_PREFERENCE = 1.35;

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const DOT = 0x2e;
const EQUALS = 0x3d;
const DELETE = 0x7f;
const HEX = Buffer.from('0123456789ABCDEF');

/** The body of a MIME part: its Content-Transfer-Encoding, and its encoded bytes. */
export interface EncodedBody {
  readonly encoding: '7bit' | 'quoted-printable' | 'base64';
  /** Whether nothing is missing at the end for a complete line: it is empty, or ends with CRLF. */
  readonly endsLine: boolean;
  /** Returns the number of octets in `slices`, without making them. */
  size(): Promise<number>;
  /**
   * The encoded bytes, each slice at most a few hundred KB. The last line has no line end unless
   * the text has one. A slice is overwritten when the second one after it is made.
   */
  slices(): Iterable<Buffer>;
}

/** A file, in base64 (RFC 2045, section 6.8). */
export function encodeBytes(content: Uint8Array): EncodedBody {
  const bytes = toBytes(content);
  return {
    encoding: 'base64',
    endsLine: bytes.length === 0,
    size: async () => base64Size(bytes.length),
    slices: () => toBase64(cut(bytes)),
  };
}

/**
 * A text, in UTF-8 with CRLF line ends: unencoded if that is allowed, else in quoted-printable, or
 * in base64 if that is much shorter. A long text is scanned with turns of the event loop between.
 *
 * @param boundary start of the boundaries in use: an unencoded text must not have it
 */
export async function encodeText(text: BodyText, boundary: string): Promise<EncodedBody> {
  const bytes = toBytes(text);
  const scan = await scanText(bytes);
  if (scan.escapes === 0 && scan.longestLine <= MAX_LINE_OCTETS && !bytes.includes(boundary)) {
    const isCanonical = scan.canonical === bytes.length;
    return {
      encoding: '7bit',
      endsLine: isEmptyOrLine(bytes),
      size: async () => scan.canonical,
      slices: () => (isCanonical ? cut(bytes) : toCanonical(bytes)),
    };
  }
  const quotedSize = scan.canonical + 2 * scan.escapes + scan.canonical / (ENCODED_LINE / 3);
  if (quotedSize <= base64Size(scan.canonical) * QUOTED_PREFERENCE) {
    return {
      encoding: 'quoted-printable',
      endsLine: isEmptyOrLine(bytes),
      size: () => quotedPrintableSize(bytes),
      slices: () => toQuotedPrintable(bytes),
    };
  }
  return {
    encoding: 'base64',
    endsLine: bytes.length === 0,
    size: async () => base64Size(scan.canonical),
    slices: () => toBase64(toCanonical(bytes)),
  };
}

function isEmptyOrLine(bytes: Buffer): boolean {
  const last = bytes.at(-1);
  return last === undefined || last === LF || last === CR;
}

interface Scan {
  /** Octets with CRLF line ends. */
  canonical: number;
  longestLine: number;
  /** Bytes that need an escape in quoted-printable other than `=`, and cannot stand in 7bit. */
  escapes: number;
}

/** What {@link scanText} does with a byte: nothing, count it, or end a line. */
const PLAIN = 0;
const ESCAPED = 1;
const LINE_END = 2;
const KINDS = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte === CR || byte === LF) return LINE_END;
  return byte >= DELETE || (byte < SPACE && byte !== TAB) ? ESCAPED : PLAIN;
});

async function scanText(bytes: Buffer): Promise<Scan> {
  let escapes = 0;
  let longestLine = 0;
  let lineStart = 0;
  let lines = 0;
  let lineEndBytes = 0;
  for (let start = 0; start < bytes.length; start += SLICE_BYTES) {
    if (start > 0) await nextTurn();
    const end = Math.min(start + SLICE_BYTES, bytes.length);
    for (let i = start; i < end; i++) {
      const byte = bytes[i] as number;
      const kind = KINDS[byte];
      if (kind === PLAIN) continue;
      if (kind === ESCAPED) {
        escapes += 1;
        continue;
      }
      lineEndBytes += 1;
      if (byte === CR || bytes[i - 1] !== CR) {
        lines += 1;
        longestLine = Math.max(longestLine, i - lineStart);
      }
      lineStart = i + 1;
    }
  }
  longestLine = Math.max(longestLine, bytes.length - lineStart);
  return { canonical: bytes.length - lineEndBytes + 2 * lines, longestLine, escapes };
}

function* cut(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += SLICE_BYTES) {
    yield bytes.subarray(start, start + SLICE_BYTES);
  }
}

/** RFC 2046, section 4.1.1: lines of text end in CRLF. */
function* toCanonical(bytes: Buffer): Generator<Buffer> {
  let afterCr = false;
  for (const slice of cut(bytes)) {
    let length = 0;
    for (let i = 0; i < slice.length; i++) {
      const byte = slice[i] as number;
      if (byte !== LF && byte !== CR) {
        SCRATCH[length++] = byte;
        afterCr = false;
      } else if (byte === LF && afterCr) {
        afterCr = false;
      } else {
        SCRATCH[length++] = CR;
        SCRATCH[length++] = LF;
        afterCr = byte === CR;
      }
    }
    yield Buffer.from(SCRATCH.subarray(0, length));
  }
}

function base64Size(length: number): number {
  const lines = Math.ceil(length / BYTES_PER_BASE64_LINE);
  return Math.ceil(length / 3) * 4 + Math.max(0, lines - 1) * 2;
}

/**
 * Encodes into two buffers in turn: a new one for each slice would make V8 collect garbage all the
 * time. There is a line end before each line but the first, and none after the last.
 */
function* toBase64(source: Iterable<Buffer>): Generator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  let isFirst = true;
  let target = new Uint16Array(0);
  let other = new Uint16Array(0);
  for (const slice of source) {
    const bytes = rest.length > 0 ? Buffer.concat([rest, slice]) : slice;
    const lines = Math.floor(bytes.length / BYTES_PER_BASE64_LINE);
    rest = bytes.subarray(lines * BYTES_PER_BASE64_LINE);
    if (lines === 0) continue;
    if (target.length < lines * PAIRS_PER_LINE) target = new Uint16Array(lines * PAIRS_PER_LINE);
    encodeLines(bytes, lines, target);
    const encoded = Buffer.from(target.buffer, 0, lines * PAIRS_PER_LINE * PAIR);
    yield isFirst ? encoded.subarray(PAIR) : encoded;
    isFirst = false;
    [target, other] = [other, target];
  }
  if (rest.length > 0) yield Buffer.from((isFirst ? '' : '\r\n') + rest.toString('base64'), 'latin1');
}

/** Octets of two ASCII characters, which are written at once. */
const PAIR = 2;
const PAIRS_PER_LINE = ENCODED_LINE / PAIR + 1;
const LINE_END_PAIR = toPairs('\r\n')[0] as number;
const BASE64 = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'];
/** The two digits of each 12 bits. */
const BASE64_PAIRS = toPairs(BASE64.flatMap((first) => BASE64.map((second) => first + second)).join(''));

function toPairs(ascii: string): Uint16Array {
  return new Uint16Array(new TextEncoder().encode(ascii).buffer);
}

/** Encodes full lines, each after a line end. */
function encodeLines(bytes: Buffer, lines: number, target: Uint16Array): void {
  let from = 0;
  let to = 0;
  for (let line = 0; line < lines; line += 1) {
    target[to++] = LINE_END_PAIR;
    for (const end = from + BYTES_PER_BASE64_LINE; from < end; from += 3) {
      const bits = bytes.readUIntBE(from, 3);
      target[to++] = BASE64_PAIRS[bits >> 12] as number;
      target[to++] = BASE64_PAIRS[bits & 0xfff] as number;
    }
  }
}

function* toQuotedPrintable(bytes: Buffer): Generator<Buffer> {
  for (const length of quoteIntoScratch(bytes)) yield Buffer.from(SCRATCH.subarray(0, length));
}

/**
 * Encodes slice after slice into SCRATCH, and yields the length of each (RFC 2045, section 6.7). A
 * dot that starts a line is escaped, too, so that SMTP need not double it.
 */
function* quoteIntoScratch(bytes: Buffer): Generator<number> {
  let column = 0;
  let afterCr = false;
  for (let start = 0; start < bytes.length; start += SLICE_BYTES) {
    const end = Math.min(start + SLICE_BYTES, bytes.length);
    // An escape is three octets; a soft line break adds three to 75.
    let length = 0;
    for (let i = start; i < end; i++) {
      const byte = bytes[i] as number;
      if (byte === LF || byte === CR) {
        if (byte === CR || !afterCr) {
          SCRATCH[length++] = CR;
          SCRATCH[length++] = LF;
        }
        afterCr = byte === CR;
        column = 0;
        continue;
      }
      afterCr = false;
      const isEscaped = needsEscape(byte, bytes[i + 1]);
      if (column + (isEscaped ? 3 : 1) > ENCODED_LINE - 1) {
        SCRATCH[length++] = EQUALS;
        SCRATCH[length++] = CR;
        SCRATCH[length++] = LF;
        column = 0;
      }
      if (isEscaped || (byte === DOT && column === 0)) {
        SCRATCH[length++] = EQUALS;
        SCRATCH[length++] = HEX[byte >> 4] as number;
        SCRATCH[length++] = HEX[byte & 15] as number;
        column += 3;
      } else {
        SCRATCH[length++] = byte;
        column += 1;
      }
    }
    yield length;
  }
}

/** Octets that {@link toQuotedPrintable} makes, counted with turns of the event loop between. */
async function quotedPrintableSize(bytes: Buffer): Promise<number> {
  let size = 0;
  for (const length of quoteIntoScratch(bytes)) {
    size += length;
    if (bytes.length > SLICE_BYTES) await nextTurn();
  }
  return size;
}

function needsEscape(byte: number, next: number | undefined): boolean {
  if (byte === SPACE || byte === TAB) return next === undefined || next === CR || next === LF;
  return byte === EQUALS || byte < SPACE || byte >= DELETE;
}
