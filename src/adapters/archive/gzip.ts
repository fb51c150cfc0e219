import { createGunzip } from 'node:zlib';
import { type Chunks, type Entry, inflate } from './chunks.ts';
import type { ScanBudget } from './scan-budget.ts';

/**
 * Reads the single file of a gzip. Yields it under the name in the header, if there is one, and
 * then with its content under the name of the gzip without `.gz`.
 */
export async function* readGzip(
  name: string,
  head: Buffer,
  chunks: Chunks,
  budget: ScanBudget,
): AsyncGenerator<Entry> {
  const stored = storedName(head);
  if (stored !== null) yield { name: stored, content: null };
  const inner = name.replace(/\.(?:tgz|taz)$/i, '.tar').replace(/\.gz(?:ip)?$/i, '');
  yield { name: inner, content: inflate(chunks, createGunzip(), budget) };
}

const HAS_EXTRA = 4;
const HAS_NAME = 8;

/** Returns FNAME (RFC 1952, section 2.3.1), or null if there is none within the head. */
function storedName(head: Buffer): string | null {
  const flags = head[3] ?? 0;
  if ((flags & HAS_NAME) === 0) return null;
  const start = (flags & HAS_EXTRA) === 0 || head.length < 12 ? 10 : 12 + head.readUInt16LE(10);
  const end = head.indexOf(0, start);
  return end > start ? head.toString('latin1', start, end) : null;
}
