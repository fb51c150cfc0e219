/** The part of DER (ITU-T X.690) that certificates need. */

const TAGS = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  sequence: 0x30,
  set: 0x31,
} as const;

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  const size = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

export const sequence = (...items: readonly Buffer[]): Buffer => tagged(TAGS.sequence, Buffer.concat(items));
export const set = (...items: readonly Buffer[]): Buffer => tagged(TAGS.set, Buffer.concat(items));
export const octetString = (content: Buffer): Buffer => tagged(TAGS.octetString, content);
export const utf8String = (text: string): Buffer => tagged(TAGS.utf8String, Buffer.from(text));
export const booleanTrue = (): Buffer => tagged(TAGS.boolean, Buffer.from([0xff]));

/** @param magnitude a non-negative number, big-endian */
export function integer(magnitude: Buffer): Buffer {
  return tagged(
    TAGS.integer,
    (magnitude[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.from([0]), magnitude]) : magnitude,
  );
}

export function bitString(content: Buffer, unusedBits = 0): Buffer {
  return tagged(TAGS.bitString, Buffer.concat([Buffer.from([unusedBits]), content]));
}

/** A context-specific tag: `constructed` wraps other items, `primitive` replaces their tag. */
export function context(number: number, content: Buffer, form: 'constructed' | 'primitive'): Buffer {
  return tagged((form === 'constructed' ? 0xa0 : 0x80) | number, content);
}

export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = rest.flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    return groups;
  });
  return tagged(TAGS.objectIdentifier, Buffer.from([first * 40 + second, ...bytes]));
}

/** Seconds precision, as YYMMDDhhmmssZ; valid until 2049. */
export function utcTime(at: number): Buffer {
  const digits = new Date(at).toISOString().replace(/[-:T]|\..*/g, '');
  return tagged(TAGS.utcTime, Buffer.from(`${digits.slice(2)}Z`));
}
