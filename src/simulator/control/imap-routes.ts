import type { ImapFault, ImapLoginFault } from '../mailbox/faults.ts';
import type { FolderRole, Mail } from '../mailbox/folder.ts';
import type { ImapState } from '../mailbox/imap-state.ts';
import type { MailboxCommand, MailboxSettings } from '../mailbox/mailboxes.ts';

/** The simulated IMAP server and its mailboxes, as part of the Simulator object. */
export interface SimulatorImap {
  readonly port: number;
  /** Value of IMAP_URL. */
  readonly url: string;
  /** Totals since the start. */
  readonly counters: { readonly connections: number; readonly logins: number; readonly failedLogins: number };
  /** Number of open connections. */
  readonly sessions: number;
  /** Number of connections that wait in IDLE. */
  readonly idleSessions: number;
  /** Commands after the greeting, oldest first. Those that would change a mailbox have `writes`. */
  readonly commands: readonly MailboxCommand[];
  /** The mails of a folder, oldest first. */
  mails(role: FolderRole, user?: string): readonly Mail[];
  /** Puts a mail into a folder, INBOX by default. */
  deliver(raw: string, options?: DeliverOptions): void;
  /** Changes some settings of all mailboxes. */
  configure(settings: Partial<MailboxSettings>): void;
  /** Makes the next `times` logins fail, or all if not given; null ends the fault. */
  setLoginFault(fault: ImapLoginFault | null, times?: number): void;
  /** Turns IMAP of an account off or on. */
  setEnabled(enabled: boolean, user?: string): void;
  /** Applies a fault to the replies of open and new connections; null ends it. */
  setFault(fault: ImapFault | null): void;
  /** Gives every mail of an account another UID, and closes the connections. */
  changeUidValidity(user?: string): void;
  /** Closes every connection without a reply. */
  closeConnections(): void;
  /** Removes every mail, also those that would be filed later. */
  clear(): void;
}

export interface DeliverOptions {
  readonly user?: string;
  readonly folder?: FolderRole;
  /** In ms. */
  readonly delayMs?: number;
  /** INTERNALDATE, in epoch ms: now by default. */
  readonly receivedAt?: number;
}

/** @param user whose mailbox is meant by default */
export function createImap(imap: ImapState, port: number, user: string): SimulatorImap {
  const { mailboxes, faults } = imap;
  const owner = user;
  return {
    port,
    url: `imaps://localhost:${port}`,
    counters: imap.counters,
    get sessions() {
      return imap.sessions.size;
    },
    get idleSessions() {
      return [...imap.sessions].filter((session) => session.isIdle).length;
    },
    commands: mailboxes.commands,
    mails: (role, user = owner) => mailboxes.folder(user, role).entries.map(({ mail }) => mail),
    deliver: (raw, { user = owner, folder = 'inbox', ...options } = {}) =>
      mailboxes.deliver(user, folder, raw, options),
    configure: (settings) => void Object.assign(mailboxes.settings, settings),
    setLoginFault: (fault, times = Number.POSITIVE_INFINITY) => faults.setLoginFault(fault, times),
    setEnabled: (enabled, user = owner) => mailboxes.enableImap(user, enabled),
    setFault(fault) {
      faults.current = fault;
    },
    changeUidValidity(user = owner) {
      mailboxes.changeUidValidity(user);
      imap.closeSessions();
    },
    closeConnections: () => imap.closeSessions(),
    clear: () => mailboxes.clear(),
  };
}
