import { setTimeout as delay } from 'node:timers/promises';
import type { ImapFlow } from 'imapflow';
import { type InboxPosition, untilSearch } from '../../core/inbound/inbox-position.ts';
import type { InboxHandlers, InboxWatch } from '../../core/ports/inbox.ts';
import { isUnavailable } from '../../core/retry-until-available.ts';
import { HOUR, MINUTE, SECOND } from '../../core/time.ts';
import { textProperty } from '../mail-server/system-error.ts';
import { MailboxError, toMailboxFault, unavailable } from './imap-errors.ts';
import { type InboxReaderOptions, within } from './inbox-reader.ts';
import { createInboxSweep } from './inbox-sweep.ts';
import { listenForNews } from './mailbox-news.ts';
import {
  IMAP_DEADLINES,
  type ImapDeadlines,
  type ImapSession,
  openSession,
  type SessionOptions,
} from './session.ts';

export interface InboxOptions
  extends Pick<SessionOptions, 'user' | 'login' | 'server' | 'ca'>,
    Pick<InboxReaderOptions, 'parser' | 'replies'> {
  readonly deadlines?: ImapDeadlines | undefined;
  /** Multiplies the waits before connections: 1, or less in tests. */
  readonly backoffScale?: number;
  /** Time limits, in ms. Tests shorten them. */
  readonly times?: Partial<InboxWatchTimes>;
}

export interface InboxWatchTimes {
  /** Renewal of IDLE. Servers may end it after 30 min, and Gmail does after 10. */
  readonly renewMs: number;
  /** Limit of one command. */
  readonly commandMs: number;
  /** Minimum interval between two sweeps: a server can announce mail without end. */
  readonly sweepMs: number;
  /** Interval of checks that the login is still valid. */
  readonly checkMs: number;
  /** Wait before a connection replaces one that has ended. Each failure triples it. */
  readonly reconnectMs: number;
  readonly maxBackoffMs: number;
  /** A connection that has lasted this long ends a series of failures. */
  readonly stableMs: number;
  /** Interval of attempts at the search of the other folders. */
  readonly searchRetryMs: number;
  /** Wait after a refused login. */
  readonly refusedMs: number;
}

const TIMES: InboxWatchTimes = {
  renewMs: 9 * MINUTE,
  commandMs: MINUTE,
  sweepMs: SECOND,
  checkMs: 30 * SECOND,
  reconnectMs: 5 * SECOND,
  maxBackoffMs: 5 * MINUTE,
  stableMs: 2 * MINUTE,
  searchRetryMs: HOUR,
  refusedMs: 15 * MINUTE,
};

const TOO_LATE = new MailboxError(unavailable('The IMAP server did not complete the login in time'));
const CLOSED = new MailboxError(unavailable('The IMAP server closed the connection'));

/**
 * Follows the inbox of an account with one connection, until it is closed: reads what has come since
 * the stored position, then waits for mail (IDLE). Opens mailboxes read-only (EXAMINE).
 */
export function watchInbox(options: InboxOptions, handlers: InboxHandlers): InboxWatch {
  const times = { ...scaleWaits(TIMES, options.backoffScale), ...options.times };
  const { commandMs } = times;
  const { parser, replies } = options;
  const closing = new AbortController();
  const { signal } = closing;
  const closed = rejectionOf(signal);
  const onUnreadable = () => {
    if (!signal.aborted) handlers.onUnreadable();
  };
  const { sweep, searchAll } = createInboxSweep({
    handlers,
    signal,
    parser,
    replies,
    onUnreadable,
    commandMs,
  });
  let failures = 0;
  /** On the monotonic clock: a search that fails must not keep the inbox from being read. */
  let searchAt = 0;

  async function run(): Promise<void> {
    while (!signal.aborted) {
      const startedAt = performance.now();
      // A command or a parser can take long to end: the close of the watch does not wait for it.
      const wait = await Promise.race([follow(), closed]).then(
        (closure) => (closure === null ? reconnect() : backOff(closure, 0, failures > 0)),
        (error) => backOff(error, performance.now() - startedAt),
      );
      await delay(wait, undefined, { signal }).catch(() => {});
    }
  }

  /** Returns the wait before the next connection, in ms. */
  function reconnect(): number {
    failures = 0;
    return times.reconnectMs;
  }

  /** Returns the wait before the next connection, in ms. */
  function backOff(error: unknown, lastedMs: number, isReported = true): number {
    if (signal.aborted) return 0;
    if (lastedMs >= times.stableMs) failures = 0;
    const wait = Math.min(times.maxBackoffMs, times.reconnectMs * 3 ** failures);
    failures += 1;
    // The mailbox is not at fault: its mail could not be recorded.
    if (isUnavailable(error)) return wait;
    const fault = toMailboxFault(error);
    if (isReported) handlers.onFault(fault);
    return fault.isRefusal ? times.refusedMs : wait;
  }

  /**
   * Uses one connection until it ends, its token is about to expire, or its credentials were replaced.
   *
   * @returns why it ended if the server closed it soon: once is no fault. Otherwise null
   * @throws the error that keeps the inbox from being read
   */
  async function follow(): Promise<unknown> {
    const deadlines = { ...(options.deadlines ?? IMAP_DEADLINES), idleMs: 2 * times.renewMs };
    const late = AbortSignal.timeout(deadlines.lookMs);
    const opening = openSession({ ...options, deadlines }, AbortSignal.any([signal, late]));
    const session = await opening.catch((error) => {
      throw late.aborted ? TOO_LATE : error;
    });
    const { client } = session;
    const openedAt = performance.now();
    const close = () => session.close();
    signal.addEventListener('abort', close, { once: true });
    const news = listenForNews(client);
    try {
      let position = await handlers.loadPosition();
      while (session.isUsable() && !signal.aborted) {
        news.clear();
        const nextSweepAt = performance.now() + times.sweepMs;
        position = await sweep(client, position);
        handlers.onFault(null);
        if (untilNextSearch(position) === 0) position = await search(client, position);
        else if (!news.isThere()) await idle(session, news.arrival(), untilNextSearch(position));
        await delay(Math.max(0, nextSweepAt - performance.now()), undefined, { signal }).catch(() => {});
      }
      const isStable = performance.now() - openedAt >= times.stableMs;
      return client.usable || isStable ? null : (session.failure() ?? CLOSED);
    } catch (error) {
      const isLost = textProperty(error, 'code') === 'NoConnection';
      throw (isLost && session.failure()) || error;
    } finally {
      signal.removeEventListener('abort', close);
      session.close();
    }
  }

  function untilNextSearch(position: InboxPosition): number {
    return Math.max(untilSearch(position, Date.now()), searchAt - performance.now(), 0);
  }

  async function search(client: ImapFlow, position: InboxPosition): Promise<InboxPosition> {
    searchAt = performance.now() + times.searchRetryMs;
    try {
      const searched = await searchAll(client, position);
      searchAt = 0;
      return searched;
    } catch (error) {
      if (signal.aborted || isUnavailable(error) || !client.usable) throw error;
      handlers.onFault(toMailboxFault(error));
      return (await handlers.loadPosition()) ?? position;
    }
  }

  /** Waits for mail, and for what else ends the wait. */
  async function idle({ client, isUsable }: ImapSession, arrival: Promise<void>, mostMs: number) {
    const ended = new AbortController();
    const wait = (ms: number) => delay(ms, undefined, { signal: ended.signal }).catch(() => {});
    const untilInvalid = async () => {
      while (isUsable() && !ended.signal.aborted) await wait(times.checkMs);
    };
    const idling = client.idle();
    try {
      await Promise.race([
        arrival,
        untilInvalid(),
        // The server refuses IDLE, or has ended it.
        idling.then(() => wait(times.checkMs)),
        wait(Math.min(times.renewMs, mostMs)),
      ]);
    } finally {
      ended.abort();
    }
    // Any command ends IDLE.
    if (client.usable) await within(commandMs, client, client.noop());
    await idling;
  }

  const running = run();
  return {
    async close() {
      closing.abort();
      await running;
    },
  };
}

function scaleWaits(times: InboxWatchTimes, scale = 1): InboxWatchTimes {
  const { sweepMs, reconnectMs, maxBackoffMs, stableMs, searchRetryMs, refusedMs } = times;
  return {
    ...times,
    sweepMs: sweepMs * scale,
    reconnectMs: reconnectMs * scale,
    maxBackoffMs: maxBackoffMs * scale,
    stableMs: stableMs * scale,
    searchRetryMs: searchRetryMs * scale,
    refusedMs: refusedMs * scale,
  };
}

/** Returns a promise that rejects once the signal is aborted. */
function rejectionOf(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  return promise;
}
