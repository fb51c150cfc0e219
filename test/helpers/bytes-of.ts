/** Joins slices of a composed message. Copies each, since the composer overwrites it later. */
export function bytesOf(slices: Iterable<Buffer>): Buffer {
  return Buffer.concat(Array.from(slices, (slice) => Buffer.from(slice)));
}
