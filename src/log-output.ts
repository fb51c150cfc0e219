import { constants, fstatSync, openSync, writeSync } from 'node:fs';

/**
 * Lines are written in batches: each write wakes the reader, which costs more than formatting a
 * line.
 */
const BATCH_BYTES = 4096;
/** Maximum delay of a line. Also the interval between attempts after a write failed. */
const FLUSH_EVERY_MS = 100;
/** Interval between attempts while the pipe is full. */
const RETRY_FULL_MS = 10;
/** Maximum size of the lines waiting for a slow reader. */
const MAX_WAITING_BYTES = 256 * 1024;
/** Maximum wait for a slow reader when the process exits. */
const EXIT_WAIT_MS = 250;
const EXIT_POLL_MS = 5;

const NEWLINE = 10;
const SPACE = 32;
const NOTHING = Buffer.alloc(0);

/** A destination for pino. */
export interface LogOutput {
  /** @param line Ends with a newline. May hold several lines, each but the first begins with a space. */
  write(line: string): void;
  /** Writes as many waiting lines as the reader takes now. pino calls it after a fatal line. */
  flushSync(): void;
}

/**
 * Writes log lines without ever waiting for their reader.
 *
 * When the reader is too far behind or a write fails (EPIPE, ENOSPC, EIO), whole lines are dropped
 * and counted. The first line after the gap reports the count. Lines are complete at exit if the
 * reader keeps reading.
 *
 * @param descriptor File, pipe, terminal or socket.
 * @param describeGap Returns the line, with its newline, that reports a number of dropped lines.
 */
export function openLogOutput(descriptor: number, describeGap: (dropped: number) => string): LogOutput {
  const fd = openNonBlocking(descriptor);
  const waiting: string[] = [];
  let waitingBytes = 0;
  /**
   * Bytes being written. A partial write leaves the rest here, and the next write completes the
   * line.
   */
  let batch: Buffer = NOTHING;
  /** Whether the first line of `batch` has been written in part. */
  let isPartial = false;
  /** Number of dropped lines that `batch` reports; 0 if it holds ordinary lines. */
  let reported = 0;
  /**
   * Lines dropped since the last report. Until it is 0, further lines are dropped too: the report
   * goes first.
   */
  let dropped = 0;
  let isFull = false;

  function append(line: string): void {
    waiting.push(line);
    waitingBytes += Buffer.byteLength(line);
  }

  /** Returns false if there is nothing to write. */
  function fillBatch(): boolean {
    if (batch.length > 0) return true;
    reported = waiting.length > 0 ? 0 : dropped;
    if (reported > 0) {
      append(describeGap(reported));
      dropped = 0;
    }
    batch = Buffer.from(waiting.join(''));
    clear();
    return batch.length > 0;
  }

  function clear(): void {
    waiting.length = 0;
    waitingBytes = 0;
  }

  /** Drops all lines except one that has been written in part, whose rest must be written next. */
  function drop(): void {
    const kept = isPartial ? batch.subarray(0, endOfLine(batch, 0)) : NOTHING;
    const lost = batch.subarray(kept.length);
    dropped += waiting.length + (reported > 0 && lost.length > 0 ? reported : countLines(lost));
    batch = kept;
    clear();
  }

  function flush(): void {
    isFull = false;
    try {
      while (fillBatch()) {
        const written = writeSync(fd, batch);
        isPartial = batch[written - 1] !== NEWLINE || batch[written] === SPACE;
        batch = batch.subarray(written);
      }
    } catch (error) {
      isFull = (error as NodeJS.ErrnoException).code === 'EAGAIN';
      if (!isFull) drop();
    }
  }

  function keepFlushing(): void {
    flush();
    setTimeout(keepFlushing, isFull ? RETRY_FULL_MS : FLUSH_EVERY_MS).unref();
  }

  function flushAtExit(): void {
    const until = performance.now() + EXIT_WAIT_MS;
    const never = new Int32Array(new SharedArrayBuffer(4));
    for (flush(); isFull && performance.now() < until; flush()) Atomics.wait(never, 0, 0, EXIT_POLL_MS);
  }

  keepFlushing();
  process.on('exit', flushAtExit);

  return {
    write(line) {
      if (dropped > 0 || waitingBytes > MAX_WAITING_BYTES) {
        dropped++;
        return;
      }
      append(line);
      if (waitingBytes >= BATCH_BYTES && !isFull) flush();
    },
    flushSync: flush,
  };
}

/**
 * Opens a pipe or terminal a second time, as non-blocking. The flag on the descriptor itself is
 * shared with other processes: setting it there affects them, and any of them can clear it. A
 * regular file never blocks, and shares its position with standard error.
 */
function openNonBlocking(descriptor: number): number {
  if (fstatSync(descriptor).isFile()) return descriptor;
  try {
    return openSync(`/dev/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    // A socket, a pipe without a reader, or no permission. Node makes these non-blocking when
    // process.stdout is first used, in main.ts.
    return descriptor;
  }
}

function countLines(bytes: Buffer): number {
  let count = 0;
  for (let end = endOfLine(bytes, 0); end > 0; end = endOfLine(bytes, end)) count++;
  return count;
}

/** Returns the index after the line at an index, with all lines that continue it. 0: no line ends. */
function endOfLine(bytes: Buffer, from: number): number {
  let end = from;
  do end = bytes.indexOf(NEWLINE, end) + 1;
  while (end > 0 && bytes[end] === SPACE);
  return end;
}
