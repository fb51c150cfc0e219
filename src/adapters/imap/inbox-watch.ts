import { setTimeout as delay } from 'node:timers/promises';
import type { ImapFlow } from 'imapflow';
import type { InboundMail } from '../../core/inbound/inbound-mail.ts';
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
import type { MailboxFault } from '../../core/ports/mailbox.ts';
import { MINUTE, SECOND } from '../../core/time.ts';
import { toMailboxFault } from './imap-errors.ts';
import { type InboxReaderOptions, type ReadMail, readMails, within } from './inbox-reader.ts';
import { IMAP_DEADLINES, type ImapSession, openSession, type SessionOptions } from './session.ts';

export interface InboxWatchOptions
  extends Pick<SessionOptions, 'user' | 'login' | 'server'>,
    Omit<InboxReaderOptions, 'commandMs'> {
  readonly ca: string | null;
  /** Reads the position that was stored last. Null: the inbox was never read. */
  readonly loadPosition: () => Promise<InboxPosition | null>;
  readonly savePosition: (position: InboxPosition) => Promise<void>;
  /**
   * Handles a report or a reply; `receivedAt` is in epoch ms. A mail is passed again if this rejects,
   * or after a crash: handling it twice must change nothing. A rejection ends the connection, so
   * this must wait for a backend that is away; so must both functions above.
   */
  readonly onMail: (mail: InboundMail, receivedAt: number) => Promise<void>;
  /** Called when the inbox cannot be read, and with null when it can again. */
  readonly onFault: (fault: MailboxFault | null) => void;
  /** Time limits, in ms. Tests shorten them. */
  readonly times?: InboxWatchTimes;
}

export interface InboxWatchTimes {
  /** Renewal of IDLE. Servers may end it after 30 min (RFC 2177), and Gmail does sooner. */
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

/** Mails of a sweep after which the position is stored: an interrupted sweep goes on there. */
const SAVE_EVERY = 500;
/** The search of all mail reads the newest. */
const MAX_SEARCHED = 5000;

/**
 * Follows the inbox of an account with one connection, until it is closed: reads what has come since
 * the stored position, then waits for mail (IDLE). Opens mailboxes read-only (EXAMINE).
 */
export function watchInbox({ times = TIMES, ...options }: InboxWatchOptions): { close(): Promise<void> } {
  const { commandMs } = times;
  const reading = { ...options, commandMs };
  const closing = new AbortController();
  const { signal } = closing;
  let failures = 0;

  async function run(): Promise<void> {
    while (!signal.aborted) {
      const wait = await follow().then(
        () => times.reconnectMs,
        (error) => backOff(toMailboxFault(error)),
      );
      await delay(wait, undefined, { signal }).catch(() => {});
    }
  }

  /** Returns the wait before the next connection, in ms. */
  function backOff(fault: MailboxFault): number {
    if (signal.aborted) return 0;
    options.onFault(fault);
    if (fault.isRefusal) return times.refusedMs;
    const wait = Math.min(times.maxBackoffMs, times.reconnectMs * 3 ** failures);
    failures += 1;
    return wait;
  }

  /** Uses one connection until it ends, or its token is about to. */
  async function follow(): Promise<void> {
    const deadlines = { ...IMAP_DEADLINES, idleMs: 2 * times.renewMs };
    const session = await openSession(
      { ...options, deadlines },
      AbortSignal.any([signal, AbortSignal.timeout(deadlines.lookMs)]),
    );
    const close = () => session.close();
    signal.addEventListener('abort', close, { once: true });
    const news = listenForNews(session.client);
    try {
      let position = await options.loadPosition();
      while (session.isUsable() && !signal.aborted) {
        news.clear();
        position = await sweep(session.client, position);
        failures = 0;
        options.onFault(null);
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
      let count = 0;
      for await (const read of readMails(client, uids, reading)) {
        position = await handle(position, read);
        if (plan.kind === 'uids') position = noteRead(position, read.uid);
        count += 1;
        if (count % SAVE_EVERY === 0) await options.savePosition(position);
      }
    }
    position = noteSwept(position, state, Date.now());
    await options.savePosition(position);
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
    await options.savePosition(position);
    return position;
  }

  async function handle(position: InboxPosition, { mail, receivedAt }: ReadMail): Promise<InboxPosition> {
    signal.throwIfAborted();
    if (mail === null || isHandled(position, mail.mailId)) return position;
    await options.onMail(mail, receivedAt);
    const handled = noteHandled(position, mail.mailId);
    await options.savePosition(handled);
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

interface News {
  clear(): void;
  isThere(): boolean;
  /** Resolves when new mail is announced, or the connection ends. */
  arrival(): Promise<void>;
}

/** Servers announce new mail in the middle of any command. */
function listenForNews(client: ImapFlow): News {
  let isThere = false;
  let resolvers = Promise.withResolvers<void>();
  const note = () => {
    isThere = true;
    resolvers.resolve();
  };
  client.on('exists', note);
  client.on('close', note);
  return {
    clear() {
      isThere = false;
      resolvers = Promise.withResolvers();
    },
    isThere: () => isThere,
    arrival: () => resolvers.promise,
  };
}
