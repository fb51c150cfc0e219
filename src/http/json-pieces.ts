import { isUtf8 } from 'node:buffer';
import { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyReply } from 'fastify';

/** Characters, or bytes, that are serialized at once. */
const PIECE_LENGTH = 64 * 1024;

/**
 * Serializes a JSON value as `JSON.stringify` does, in pieces with turns of the event loop between.
 * Bytes become text: UTF-8, or else Latin-1.
 *
 * @param entriesOf Returns the entries of an object in the order to write them.
 */
export async function* toJsonPieces(
  value: unknown,
  entriesOf: (object: object) => [string, unknown][] = Object.entries,
): AsyncGenerator<string> {
  let waiting = '';
  for (const piece of write(value, entriesOf)) {
    waiting += piece;
    if (waiting.length < PIECE_LENGTH) continue;
    yield waiting;
    waiting = '';
    await nextTurn();
  }
  yield waiting;
}

/** Sends a JSON value: a large one as a stream, without its length. */
export async function sendInPieces(value: unknown, reply: FastifyReply): Promise<FastifyReply> {
  const pieces = toJsonPieces(value);
  const first = await pieces.next();
  const second = await pieces.next();
  async function* all() {
    yield first.value;
    yield second.value;
    yield* pieces;
  }
  return reply
    .header('content-type', 'application/json; charset=utf-8')
    .send(second.done ? first.value : Readable.from(all(), { objectMode: false }));
}

function* write(value: unknown, entriesOf: (object: object) => [string, unknown][]): Generator<string> {
  if (typeof value === 'string') yield* writeText(cutString(value));
  else if (value instanceof Uint8Array) yield* writeText(cutBytes(value));
  else if (Array.isArray(value)) {
    yield '[';
    for (const [index, item] of value.entries()) {
      if (index > 0) yield ',';
      yield* write(item, entriesOf);
    }
    yield ']';
  } else if (typeof value === 'object' && value !== null) {
    let separator = '{';
    for (const [key, item] of entriesOf(value)) {
      if (item === undefined) continue;
      yield separator;
      yield* writeText(cutString(key));
      yield ':';
      yield* write(item, entriesOf);
      separator = ',';
    }
    yield separator === '{' ? '{}' : '}';
  } else yield JSON.stringify(value) ?? 'null';
}

function* writeText(parts: Iterable<string>): Generator<string> {
  yield '"';
  for (const part of parts) yield JSON.stringify(part).slice(1, -1);
  yield '"';
}

/** Cuts between characters: half of a surrogate pair would be escaped. */
function* cutString(text: string): Generator<string> {
  for (let start = 0; start < text.length; ) {
    let end = start + PIECE_LENGTH;
    if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end--;
    yield text.slice(start, end);
    start = end;
  }
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function* cutBytes(text: Uint8Array): Generator<string> {
  const decoder = new StringDecoder(isUtf8(text) ? 'utf8' : 'latin1');
  for (let start = 0; start < text.length; start += PIECE_LENGTH)
    yield decoder.write(text.subarray(start, start + PIECE_LENGTH));
}
