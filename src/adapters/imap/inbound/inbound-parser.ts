import { extname } from 'node:path';
import { Tinypool } from 'tinypool';
import type { InboundMail } from '../../../core/inbound/inbound-mail.ts';
import type { InboundTask } from './inbound-thread.ts';
import type { Candidate } from './parse-inbound.ts';

/**
 * Reads received mail in a worker thread, so that a hostile mail cannot delay sending: one of
 * 256 KB can take seconds.
 */
export interface InboundParser {
  /**
   * Decides by the headers of a mail which part of it is worth reading.
   *
   * @throws if the mail takes too long, or the thread fails
   */
  candidateOf(headers: Uint8Array): Promise<Candidate>;
  /**
   * Parses a report, or the headers of a reply.
   *
   * @param isCut Whether the mail has more bytes than these
   * @throws as `candidateOf` does
   */
  parse(bytes: Uint8Array, isCut: boolean): Promise<InboundMail>;
  /** Ends what is being read, which then rejects. */
  close(): Promise<void>;
}

/** How long an unused thread is kept, in ms. */
const IDLE_MS = 30_000;
/** A mail that takes longer is not read. A report takes a few ms, the start of the thread 200. */
const MAX_TIME_MS = 15_000;

/** @param maxTimeMs Maximum time for one mail, in ms */
export function createInboundParser(maxTimeMs = MAX_TIME_MS): InboundParser {
  const closing = new AbortController();
  let pool: Tinypool | undefined;
  let latest: Promise<unknown> = Promise.resolve();

  /** Reads one mail at a time: the time that another takes must not count. */
  function run<T>(task: InboundTask): Promise<T> {
    const result = latest.then(() => runNow<T>(task));
    latest = result.catch(() => {});
    return result;
  }

  async function runNow<T>(task: InboundTask): Promise<T> {
    closing.signal.throwIfAborted();
    pool ??= new Tinypool({
      filename: new URL(`./inbound-thread${extname(import.meta.url)}`, import.meta.url).href,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: IDLE_MS,
    });
    // Thousands of mails are read in the time that one may take: none leaves a timer or a signal.
    const stopping = new AbortController();
    const stop = () => stopping.abort();
    const timer = setTimeout(stop, maxTimeMs);
    closing.signal.addEventListener('abort', stop, { once: true });
    try {
      return await pool.run(task, { signal: stopping.signal });
    } catch (error) {
      // The thread ends with the task.
      const isLate = stopping.signal.aborted && !closing.signal.aborted;
      throw isLate ? new Error('The mail took too long to read') : error;
    } finally {
      clearTimeout(timer);
      closing.signal.removeEventListener('abort', stop);
    }
  }

  return {
    candidateOf: (bytes) => run<Candidate>({ kind: 'headers', bytes }),
    parse: (bytes, isCut) => run<InboundMail>({ kind: 'mail', bytes, isCut }),
    async close() {
      closing.abort();
      await latest;
      await pool?.destroy();
    },
  };
}
