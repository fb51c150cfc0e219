/** RFC 2047, section 2: an encoded word has at most 75 characters. */
const MAX_ENCODED_WORD = 75;
const OVERHEAD = '=?UTF-8?B??='.length;
/** Room for one character of four bytes in either encoding. */
const MIN_ENCODED_WORD = OVERHEAD + 12;

/** Bytes that stand for themselves in a Q-encoded phrase (RFC 2047, section 5, rule 3). */
const isPlain = (byte: number) =>
  (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);

/**
 * Encodes a text as RFC 2047 encoded words, each with whole characters, by the shorter of B and Q.
 * A reader joins adjacent words without the white space between them.
 *
 * @param text well-formed UTF-16
 * @param room characters left on the line of the first word
 */
export function toEncodedWords(text: string, room = MAX_ENCODED_WORD): string[] {
  const bytes = Buffer.from(text);
  const encode = lengthInQ(bytes) <= Math.ceil(bytes.length / 3) * 4 ? Q : B;
  const words: string[] = [];
  let start = 0;
  let end = 0;
  let length = 0;
  let capacity = encode.capacity(
    room < MIN_ENCODED_WORD ? MAX_ENCODED_WORD : Math.min(room, MAX_ENCODED_WORD),
  );
  while (end < bytes.length) {
    const next = endOfCharacter(bytes, end);
    const added = encode.cost(bytes, end, next);
    if (length + added > capacity) {
      words.push(encode.word(bytes.subarray(start, end)));
      start = end;
      length = 0;
      capacity = encode.capacity(MAX_ENCODED_WORD);
    }
    length += added;
    end = next;
  }
  words.push(encode.word(bytes.subarray(start, end)));
  return words;
}

const Q = {
  capacity: (wordLength: number) => wordLength - OVERHEAD,
  cost(bytes: Buffer, start: number, end: number) {
    let cost = 0;
    for (let i = start; i < end; i++) cost += qLength(bytes[i] as number);
    return cost;
  },
  word(bytes: Buffer) {
    let payload = '';
    for (const byte of bytes) {
      if (byte === 0x20) payload += '_';
      else if (isPlain(byte)) payload += String.fromCharCode(byte);
      else payload += `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    }
    return `=?UTF-8?Q?${payload}?=`;
  },
};

const B = {
  /** Base64 makes four characters of three bytes. */
  capacity: (wordLength: number) => Math.floor((wordLength - OVERHEAD) / 4) * 3,
  cost: (_bytes: Buffer, start: number, end: number) => end - start,
  word: (bytes: Buffer) => `=?UTF-8?B?${bytes.toString('base64')}?=`,
};

function lengthInQ(bytes: Buffer): number {
  let length = 0;
  for (const byte of bytes) length += qLength(byte);
  return length;
}

function qLength(byte: number): number {
  return byte === 0x20 || isPlain(byte) ? 1 : 3;
}

/** Index after the UTF-8 character that starts at `start`. */
function endOfCharacter(bytes: Buffer, start: number): number {
  let end = start + 1;
  while (end < bytes.length && ((bytes[end] as number) & 0xc0) === 0x80) end++;
  return end;
}
