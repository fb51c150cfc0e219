import { createGunzip } from 'node:zlib';
import { type Chunks, type Entry, inflate } from './chunks.ts';
import type { ScanBudget } from './scan-budget.ts';

/** The one file in a gzip: under the name in its header, if it has one, and under its own name without `.gz`. */
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

/** FNAME of RFC 1952, section 2.3.1; null if it is not there, or further on than can be seen. */
function storedName(head: Buffer): string | null {
  const flags = head[3] ?? 0;
  if ((flags & HAS_NAME) === 0) return null;
  const start = (flags & HAS_EXTRA) === 0 || head.length < 12 ? 10 : 12 + head.readUInt16LE(10);
  const end = head.indexOf(0, start);
  return end > start ? head.toString('latin1', start, end) : null;
}
