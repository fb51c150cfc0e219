import { setImmediate } from 'node:timers/promises';
import type { Gunzip, InflateRaw } from 'node:zlib';
import type { ScanBudget } from './scan-budget.ts';

/** The bytes of a file as a stream. Calling `return()` early also stops the source. */
export type Chunks = AsyncGenerator<Uint8Array, void, undefined>;

/** A file in an archive. */
export interface Entry {
  /** May contain any characters. The name of a directory ends in `/`. */
  readonly name: string;
  /** Null if the content cannot be read. */
  readonly content: Chunks | null;
}

export async function* toChunks(bytes: Uint8Array): Chunks {
  yield bytes;
}

/**
 * Reads at least the first `length` bytes, or all if there are fewer. Returns them and a stream of
 * all bytes from the start.
 */
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

/** Concatenates parts. Does not copy a single part, which may be a whole attachment. */
function join(parts: readonly Uint8Array[]): Buffer {
  const [only] = parts;
  return parts.length === 1 && only
    ? Buffer.from(only.buffer, only.byteOffset, only.byteLength)
    : Buffer.concat(parts);
}

const SLICE_BYTES = 64 * 1024;

/** Splits chunks into small slices, and yields to the event loop between them. */
export async function* sliced(chunks: Chunks): Chunks {
  for await (const chunk of chunks) {
    for (let start = 0; start < chunk.length; start += SLICE_BYTES) {
      yield chunk.subarray(start, start + SLICE_BYTES);
      await setImmediate();
    }
  }
}

/** Cost of starting an inflater, in bytes that can be inflated in the same time. */
const START_COST = 64 * 1024;

/** Inflates chunks, within the budget. */
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

/** The common interface of streams from node:stream and streamx. */
interface Sink {
  readonly destroyed: boolean;
  write(chunk: Uint8Array): boolean;
  end(nothing: null): unknown;
  destroy(error?: Error): unknown;
  on(event: 'error' | 'drain' | 'close', listener: () => void): unknown;
  off(event: 'drain' | 'close', listener: () => void): unknown;
}

/**
 * Writes all chunks to a stream. Stops early when the stream is destroyed. No longer reads the
 * chunks once it resolves. Never rejects: the reader of the stream gets the errors.
 *
 * `pipeline` is unsuitable: it may settle while it still waits for a chunk, which would then be
 * lost to the next reader of the chunks.
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
