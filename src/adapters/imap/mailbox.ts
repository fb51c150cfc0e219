import type { Mailbox, SentQuery, SentResult } from '../../core/ports/mailbox.ts';
import { toMailboxFault, unavailable } from './imap-errors.ts';
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

/**
 * Opens the mailbox of one account. Connects at the first look, and has at most one connection: one
 * look follows the other. An unused connection is closed.
 */
export function openMailbox({ ca = null, deadlines = IMAP_DEADLINES, ...options }: MailboxOptions): Mailbox {
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
  async function search(query: SentQuery, signal: AbortSignal): Promise<boolean> {
    for (;;) {
      const { opened, isNew } = await acquire(signal);
      try {
        return await opened.searchSent(query);
      } catch (error) {
        dropSession();
        if (isNew || signal.aborted) throw error;
      }
    }
  }

  async function look(query: SentQuery, signal: AbortSignal): Promise<SentResult> {
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = () => {
      dropSession();
      reject(new Error('aborted'));
    };
    signal.addEventListener('abort', abort, { once: true });
    try {
      signal.throwIfAborted();
      const isFound = await Promise.race([search(query, signal), aborted]);
      return { kind: isFound ? 'found' : 'absent' };
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

  return {
    findSent(query, signal) {
      const result = turn.then(() =>
        look(query, AbortSignal.any([signal, closing.signal, AbortSignal.timeout(deadlines.lookMs)])),
      );
      turn = result;
      return result;
    },
    async close() {
      closing.abort();
      await turn;
      dropSession();
    },
  };
}
