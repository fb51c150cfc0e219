import { setImmediate } from 'node:timers/promises';
import type { Gunzip, InflateRaw } from 'node:zlib';
import type { ScanBudget } from './scan-budget.ts';

/** The bytes of a file, as they come. Whoever has them may stop early by `return()`, which also stops what makes them. */
export type Chunks = AsyncGenerator<Uint8Array, void, undefined>;

/** A file in an archive. */
export interface Entry {
  /** Any text at all; a directory ends in `/`. */
  readonly name: string;
  /** Null where there is nothing to look into. */
  readonly content: Chunks | null;
}

export async function* toChunks(bytes: Uint8Array): Chunks {
  yield bytes;
}

/** The first bytes, `length` of them or more if there are as many, and then all of them from the start. */
export async function peek(chunks: Chunks, length: number): Promise<{ head: Buffer; all: Chunks }> {
  const seen: Uint8Array[] = [];
  let size = 0;
  while (size < length) {
    const next = await chunks.next();
    if (next.done) break;
    seen.push(next.value);
    size += next.value.length;
  }
  async function* fromTheStart(): Chunks {
    yield* seen;
    yield* chunks;
  }
  return { head: join(seen), all: fromTheStart() };
}

export async function collect(chunks: Chunks): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return join(parts);
}

/** Without a copy if there is only one: it may be a whole attachment. */
function join(parts: readonly Uint8Array[]): Buffer {
  const [only] = parts;
  return parts.length === 1 && only
    ? Buffer.from(only.buffer, only.byteOffset, only.byteLength)
    : Buffer.concat(parts);
}

const SLICE_BYTES = 64 * 1024;

/** In small pieces, with room for other work between them. */
export async function* sliced(chunks: Chunks): Chunks {
  for await (const chunk of chunks) {
    for (let start = 0; start < chunk.length; start += SLICE_BYTES) {
      yield chunk.subarray(start, start + SLICE_BYTES);
      await setImmediate();
    }
  }
}

/** To start an inflater takes as long as to inflate this many bytes. */
const START_COST = 64 * 1024;

/** What comes out of the inflater, as far as the budget goes. */
export async function* inflate(chunks: Chunks, inflater: Gunzip | InflateRaw, budget: ScanBudget): Chunks {
  budget.spend(START_COST);
  const feeding = feed(chunks, inflater);
  try {
    for await (const chunk of inflater) {
      budget.spend(chunk.length);
      yield chunk;
    }
  } finally {
    await feeding;
  }
}

/** What streams of node:stream and of streamx have in common. */
interface Sink {
  readonly destroyed: boolean;
  write(chunk: Uint8Array): boolean;
  end(nothing: null): unknown;
  destroy(error?: Error): unknown;
  on(event: 'error' | 'drain' | 'close', listener: () => void): unknown;
  off(event: 'drain' | 'close', listener: () => void): unknown;
}

/**
 * Writes all chunks into a stream that another reads. Ends early when that is gone, and always before it resolves has it let go of the
 * chunks. Never rejects: the reader hears of errors. (A pipeline does not serve: it may settle while it still waits for a chunk, which would
 * then be lost to the next reader of them.)
 */
export async function feed(chunks: Chunks, sink: Sink): Promise<void> {
  sink.on('error', () => {});
  try {
    for await (const chunk of chunks) {
      if (sink.destroyed) return;
      if (!sink.write(chunk)) await waitForDrain(sink);
    }
    sink.end(null);
  } catch (error) {
    sink.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

function waitForDrain(sink: Sink): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      sink.off('drain', done);
      sink.off('close', done);
      resolve();
    };
    sink.on('drain', done);
    sink.on('close', done);
  });
}
