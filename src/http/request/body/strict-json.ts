import { isUtf8 } from 'node:buffer';
import { AppError } from '../../../core/errors.ts';

const MAX_DEPTH = 32;
/**
 * Maximum number of commas, colons and opening brackets. A full request has fewer than 2,000. Each
 * value takes memory that no limit on bytes bounds.
 */
const MAX_VALUES = 20_000;

const UTF8_BOM = [0xef, 0xbb, 0xbf];
const UTF16_BE_BOM = [0xfe, 0xff];
const UTF16_LE_BOM = [0xff, 0xfe];

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * Parses JSON strictly: UTF-8 with an optional byte order mark, no repeated keys, bounded depth and
 * number of values, no keys that could change a prototype.
 *
 * `JSON.parse` keeps the last of two equal keys. Instead of decoding all keys twice, this counts
 * the colons in the text and the keys in the result: there are fewer keys only if one is repeated.
 * `indexOf` skips long strings, so that attachments take almost no time.
 *
 * @throws {AppError} `invalid_json`
 */
export function parseJson(bytes: Buffer, maxValues = MAX_VALUES): unknown {
  if (isUtf16(bytes)) throw unreadable('The body is encoded as UTF-16: encode it as UTF-8.');
  if (!isUtf8(bytes)) throw unreadable('The body is not valid UTF-8: encode it as UTF-8.');
  const text = bytes.toString('utf8', startsWith(bytes, UTF8_BOM) ? UTF8_BOM.length : 0);
  if (text === '') throw unreadable('The body is empty: send one JSON object.');
  const colons = countColons(text, maxValues);
  const value = parseText(text);
  if (countKeys(value) !== colons) {
    const key = findRepeatedKey(text).slice(0, 100);
    throw unreadable(`The key ${JSON.stringify(key)} is repeated in an object: give each key once.`);
  }
  return value;
}

/** Detects a byte order mark, or an ASCII character in UTF-16: all JSON begins with one. */
function isUtf16(bytes: Buffer): boolean {
  return (
    startsWith(bytes, UTF16_BE_BOM) ||
    startsWith(bytes, UTF16_LE_BOM) ||
    (bytes.length > 1 && (bytes[0] === 0 || bytes[1] === 0))
  );
}

function startsWith(bytes: Buffer, mark: readonly number[]): boolean {
  for (let i = 0; i < mark.length; i++) if (bytes[i] !== mark[i]) return false;
  return true;
}

/** The error for a body that is malformed. */
export function unreadable(detail: string): AppError {
  return new AppError('invalid_json', { detail });
}

/**
 * Counts the colons outside strings. Accepts text that is not JSON, which the parser refuses
 * afterwards.
 */
function countColons(text: string, maxValues: number): number {
  let colons = 0;
  let depth = 0;
  let tokens = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case QUOTE:
        i = endOfString(text, i);
        break;
      case COLON:
        colons++;
        tokens++;
        break;
      case COMMA:
        tokens++;
        break;
      case OPEN_OBJECT:
      case OPEN_ARRAY:
        tokens++;
        if (++depth > MAX_DEPTH) throw unreadable(`The body is nested deeper than ${MAX_DEPTH} levels.`);
        break;
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        depth--;
    }
    if (tokens > maxValues) throw unreadable('The body has far more values than any request needs.');
  }
  return colons;
}

/**
 * Returns the index of the quote that ends the string starting at `start`, or the length of the
 * text.
 */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // Only the position is taken from the parser's message: the rest quotes the body.
    const position = error instanceof Error ? /line \d+ column \d+/.exec(error.message)?.[0] : undefined;
    throw unreadable(`The body is not valid JSON${position ? `, at ${position}` : ''}.`);
  }
}

/** Counts the keys of all objects in a value. */
function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let keys = 0;
  if (Array.isArray(value)) {
    for (const item of value) keys += countKeys(item);
    return keys;
  }
  for (const key in value) {
    const item: unknown = value[key as keyof typeof value];
    if (key === '__proto__' || (key === 'constructor' && isObjectWith(item, 'prototype'))) {
      throw unreadable(`The key ${key} is not allowed: it could change what objects inherit.`);
    }
    keys += 1 + countKeys(item);
  }
  return keys;
}

function isObjectWith(value: unknown, key: string): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key);
}

/** Returns the first repeated key of a valid JSON text. Slow: only for the error text. */
function findRepeatedKey(text: string): string {
  const colon = /\s*:/y;
  const open: Set<string>[] = [];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === OPEN_OBJECT || code === OPEN_ARRAY) open.push(new Set());
    else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) open.pop();
    else if (code === QUOTE) {
      const start = i;
      i = endOfString(text, start);
      colon.lastIndex = i + 1;
      if (!colon.test(text)) continue;
      const key: string = JSON.parse(text.slice(start, i + 1));
      if (open.at(-1)?.has(key)) return key;
      open.at(-1)?.add(key);
    }
  }
  return '';
}
