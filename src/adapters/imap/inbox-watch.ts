import { setTimeout as delay } from 'node:timers/promises';
import type { ImapFlow } from 'imapflow';
import { digestOf } from '../../core/inbound/inbound-mail.ts';
import {
  createInboxPosition,
  type InboxPosition,
  isHandled,
  noteHandled,
  noteRead,
  noteSearched,
  noteSwept,
  planSweep,
  searchDueAt,
  searchSince,
} from '../../core/inbound/inbox-position.ts';
import type { InboxHandlers, InboxWatch } from '../../core/ports/inbox.ts';
import { isUnavailable } from '../../core/retry-until-available.ts';
import { MINUTE, SECOND } from '../../core/time.ts';
import { toMailboxFault } from './imap-errors.ts';
import { type InboxReaderOptions, type ReadMail, readMails, within } from './inbox-reader.ts';
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
  /** Interval of checks that the login is still valid. */
  readonly checkMs: number;
  /** Wait before a connection replaces one that has ended. Each failure triples it. */
  readonly reconnectMs: number;
  readonly maxBackoffMs: number;
  /** Wait after a refused login. */
  readonly refusedMs: number;
}

const TIMES: InboxWatchTimes = {
  renewMs: 9 * MINUTE,
  commandMs: MINUTE,
  checkMs: 30 * SECOND,
  reconnectMs: 5 * SECOND,
  maxBackoffMs: 5 * MINUTE,
  refusedMs: 15 * MINUTE,
};

/** The search of all mail reads the newest. */
const MAX_SEARCHED = 5000;

/**
 * Follows the inbox of an account with one connection, until it is closed: reads what has come since
 * the stored position, then waits for mail (IDLE). Opens mailboxes read-only (EXAMINE).
 */
export function watchInbox(options: InboxOptions, handlers: InboxHandlers): InboxWatch {
  const times = { ...scaleWaits(TIMES, options.backoffScale), ...options.times };
  const { commandMs } = times;
  const { parser, replies } = options;
  const reading = { parser, replies, onUnreadable: handlers.onUnreadable, commandMs };
  const closing = new AbortController();
  const { signal } = closing;
  const closed = rejectionOf(signal);
  let failures = 0;

  async function run(): Promise<void> {
    while (!signal.aborted) {
      // A command or a parser can take long to end: the close of the watch does not wait for it.
      const wait = await Promise.race([follow(), closed]).then(() => times.reconnectMs, backOff);
      await delay(wait, undefined, { signal }).catch(() => {});
    }
  }

  /** Returns the wait before the next connection, in ms. */
  function backOff(error: unknown): number {
    if (signal.aborted) return 0;
    const wait = Math.min(times.maxBackoffMs, times.reconnectMs * 3 ** failures);
    failures += 1;
    // The mailbox is not at fault: its mail could not be recorded.
    if (isUnavailable(error)) return wait;
    const fault = toMailboxFault(error);
    handlers.onFault(fault);
    return fault.isRefusal ? times.refusedMs : wait;
  }

  /** Uses one connection until it ends, or its token is about to. */
  async function follow(): Promise<void> {
    const deadlines = { ...(options.deadlines ?? IMAP_DEADLINES), idleMs: 2 * times.renewMs };
    const session = await openSession(
      { ...options, deadlines },
      AbortSignal.any([signal, AbortSignal.timeout(deadlines.lookMs)]),
    );
    const close = () => session.close();
    signal.addEventListener('abort', close, { once: true });
    const news = listenForNews(session.client);
    try {
      let position = await handlers.loadPosition();
      while (session.isUsable() && !signal.aborted) {
        news.clear();
        position = await sweep(session.client, position);
        failures = 0;
        handlers.onFault(null);
        if (Date.now() >= searchDueAt(position)) position = await searchAll(session.client, position);
        else if (!news.isThere()) await idle(session, news.arrival(), searchDueAt(position));
      }
    } finally {
      signal.removeEventListener('abort', close);
      session.close();
    }
  }

  /** Reads the inbox to its end. */
  async function sweep(client: ImapFlow, stored: InboxPosition | null): Promise<InboxPosition> {
    const state = await openReadOnly(commandMs, client, 'INBOX');
    let position = stored ?? createInboxPosition(state, Date.now());
    const plan = planSweep(position, state);
    if (plan.kind === 'none' && stored !== null) return position;
    if (plan.kind !== 'none') {
      const query = plan.kind === 'uids' ? { uid: `${plan.first}:*` } : { since: new Date(plan.since) };
      const first = plan.kind === 'uids' ? plan.first : 1;
      // `n:*` includes the last mail even if its UID is smaller.
      const uids = (await search(commandMs, client, query)).filter((uid) => uid >= first);
      for await (const read of readMails(client, uids, reading)) {
        position = await handle(position, read);
        if (plan.kind === 'uids') position = noteRead(position, read.uid);
      }
    }
    position = noteSwept(position, state, Date.now());
    await handlers.savePosition(position);
    return position;
  }

  /** Reads recent mail of all folders, which also finds what a filter has moved. */
  async function searchAll(client: ImapFlow, stored: InboxPosition): Promise<InboxPosition> {
    const startedAt = Date.now();
    const folders = await within(commandMs, client, client.list());
    // Its name is localized.
    const all = folders.find(({ specialUse }) => specialUse === '\\All');
    let position = stored;
    await openReadOnly(commandMs, client, all?.path ?? 'INBOX');
    const uids = await search(commandMs, client, { since: new Date(searchSince(position)) });
    for await (const read of readMails(client, uids.slice(-MAX_SEARCHED), reading))
      position = await handle(position, read);
    position = noteSearched(position, startedAt);
    await handlers.savePosition(position);
    return position;
  }

  async function handle(position: InboxPosition, { mail, receivedAt }: ReadMail): Promise<InboxPosition> {
    signal.throwIfAborted();
    if (mail === null) return position;
    const digest = digestOf(mail);
    if (isHandled(position, digest)) return position;
    await handlers.onMail(mail, receivedAt);
    const handled = noteHandled(position, digest);
    await handlers.savePosition(handled);
    return handled;
  }

  /** Waits for mail, and for what else ends the wait. */
  async function idle({ client, isUsable }: ImapSession, arrival: Promise<void>, dueAt: number) {
    const ended = new AbortController();
    const wait = (ms: number) => delay(ms, undefined, { signal: ended.signal }).catch(() => {});
    const untilInvalid = async () => {
      while (isUsable() && !ended.signal.aborted) await wait(times.checkMs);
    };
    const idling = client.idle();
    await Promise.race([
      arrival,
      untilInvalid(),
      wait(Math.max(0, Math.min(times.renewMs, dueAt - Date.now()))),
    ]);
    ended.abort();
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

function scaleWaits(
  { reconnectMs, maxBackoffMs, refusedMs, ...times }: InboxWatchTimes,
  scale = 1,
): InboxWatchTimes {
  return {
    ...times,
    reconnectMs: reconnectMs * scale,
    maxBackoffMs: maxBackoffMs * scale,
    refusedMs: refusedMs * scale,
  };
}

async function openReadOnly(
  commandMs: number,
  client: ImapFlow,
  path: string,
): Promise<{ readonly uidValidity: number; readonly uidNext: number }> {
  const { uidValidity, uidNext } = await within(
    commandMs,
    client,
    client.mailboxOpen(path, { readOnly: true }),
  );
  return { uidValidity: Number(uidValidity), uidNext };
}

async function search(
  commandMs: number,
  client: ImapFlow,
  query: { uid: string } | { since: Date },
): Promise<number[]> {
  const found = await within(commandMs, client, client.search(query, { uid: true }));
  if (!Array.isArray(found)) throw new Error('The IMAP server refused a search');
  return found;
}

/** Returns a promise that rejects once the signal is aborted. */
function rejectionOf(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  return promise;
}
