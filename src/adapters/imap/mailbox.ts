import type { Mailbox, SentQuery, SentResult } from '../../core/ports/mailbox.ts';
import { toMailboxFault, unavailable } from './imap-errors.ts';
import type { MessageSearch } from './message-search.ts';
import {
  IMAP_DEADLINES,
  type ImapDeadlines,
  type ImapSession,
  openSession,
  type SessionOptions,
} from './session.ts';

export interface MailboxOptions extends Pick<SessionOptions, 'user' | 'login' | 'server'> {
  readonly ca?: string | null;
  readonly deadlines?: ImapDeadlines | undefined;
}

/** A look that has failed. */
type Failed = Extract<SentResult, { kind: 'failed' }>;

export type HeaderResult =
  | { readonly kind: 'found'; readonly header: string }
  | { readonly kind: 'absent' }
  | Failed;

export interface ImapMailbox extends Mailbox {
  /**
   * Reads fields of the header of a recent message. Never rejects: ends with `failed` if the signal is
   * aborted.
   *
   * @param fields such as `from`
   */
  readHeader(
    query: SentQuery,
    folder: 'inbox' | 'sent',
    fields: readonly string[],
    signal: AbortSignal,
  ): Promise<HeaderResult>;
}

type Look<Result> = (search: MessageSearch) => Promise<Result>;

/**
 * Opens the mailbox of one account. Connects at the first look, and has at most one connection: one
 * look follows the other. An unused connection is closed.
 */
export function openMailbox({
  ca = null,
  deadlines = IMAP_DEADLINES,
  ...options
}: MailboxOptions): ImapMailbox {
  const closing = new AbortController();
  let session: ImapSession | null = null;
  let idleTimer: NodeJS.Timeout | undefined;
  /** The end of the last look. Never rejects. */
  let turn: Promise<unknown> = Promise.resolve();

  function dropSession() {
    clearTimeout(idleTimer);
    session?.close();
    session = null;
  }

  async function acquire(
    signal: AbortSignal,
  ): Promise<{ readonly opened: ImapSession; readonly isNew: boolean }> {
    clearTimeout(idleTimer);
    if (session?.isUsable()) return { opened: session, isNew: false };
    dropSession();
    const opened = await openSession({ ...options, ca, deadlines }, signal);
    if (signal.aborted) opened.close();
    else session = opened;
    return { opened, isNew: true };
  }

  /** An idle connection that turns out to be closed is replaced once. */
  async function runOnLiveConnection<Result>(run: Look<Result>, signal: AbortSignal): Promise<Result> {
    for (;;) {
      const { opened, isNew } = await acquire(signal);
      try {
        return await run(opened.search);
      } catch (error) {
        dropSession();
        if (isNew || signal.aborted) throw error;
      }
    }
  }

  async function look<Result>(run: Look<Result>, signal: AbortSignal): Promise<Result | Failed> {
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = () => {
      dropSession();
      reject(new Error('aborted'));
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      signal.throwIfAborted();
      return await Promise.race([runOnLiveConnection(run, signal), aborted]);
    } catch (error) {
      return { kind: 'failed', fault: signal.aborted ? stopped(signal) : toMailboxFault(error) };
    } finally {
      signal.removeEventListener('abort', abort);
      if (session) idleTimer = setTimeout(dropSession, deadlines.idleMs);
    }
  }

  function stopped(signal: AbortSignal) {
    const isLate = signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError';
    return unavailable(
      isLate
        ? `The IMAP server did not complete the search within ${deadlines.lookMs / 1000} s`
        : 'The search was stopped',
    );
  }

  /** Looks once the looks before have ended. */
  function lookInTurn<Result>(run: Look<Result>, signal: AbortSignal): Promise<Result | Failed> {
    const result = turn.then(() =>
      look(run, AbortSignal.any([signal, closing.signal, AbortSignal.timeout(deadlines.lookMs)])),
    );
    turn = result;
    return result;
  }

  return {
    findSent: (query, signal) =>
      lookInTurn(async (search) => ({ kind: (await search.isSent(query)) ? 'found' : 'absent' }), signal),
    readHeader: (query, folder, fields, signal) =>
      lookInTurn(async (search) => {
        const header = await search.readHeader(query, folder, fields);
        return header === null ? { kind: 'absent' } : { kind: 'found', header };
      }, signal),
    async close() {
      closing.abort();
      await turn;
      dropSession();
    },
  };
}
