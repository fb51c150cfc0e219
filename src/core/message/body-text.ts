/**
 * The text or html of a message. A large one is kept as UTF-8 bytes, which cross threads and are
 * stored without being copied or escaped: as a string, it would stop the event loop for longer.
 */
export type BodyText = string | Uint8Array;

/** Texts of more bytes are large. */
const LARGE_BYTES = 128 * 1024;
/** Of UTF-8, for a UTF-16 code unit. */
const MAX_BYTES_PER_UNIT = 3;

/** Whether a text has more bytes than a string should. */
export function isLarge(text: BodyText): boolean {
  if (typeof text !== 'string') return text.length > LARGE_BYTES;
  return text.length * MAX_BYTES_PER_UNIT > LARGE_BYTES && Buffer.byteLength(text) > LARGE_BYTES;
}

/** Returns the UTF-8 bytes of a text. Does not copy bytes. */
export function toBytes(text: BodyText): Buffer {
  return typeof text === 'string'
    ? Buffer.from(text)
    : Buffer.from(text.buffer, text.byteOffset, text.byteLength);
}
