import { ImapFaults } from './faults.ts';
import { Mailboxes } from './mailboxes.ts';

/** A connection of an IMAP client. */
export interface ImapSession {
  /** Empty before the login. */
  readonly user: string;
  readonly isIdle: boolean;
  /** Closes the connection without a reply. */
  close(): void;
}

/** What IMAP shares with the other ports. */
export class ImapState {
  readonly mailboxes: Mailboxes;
  readonly faults = new ImapFaults();
  readonly sessions = new Set<ImapSession>();
  readonly counters = { connections: 0, logins: 0, failedLogins: 0 };

  /** @param retain number of mails, and of commands, to keep */
  constructor(retain: number) {
    this.mailboxes = new Mailboxes(retain);
  }

  closeSessions(): void {
    for (const session of this.sessions) session.close();
  }

  /** Returns the number of connections of a user. */
  sessionsOf(user: string): number {
    return [...this.sessions].filter((session) => session.user.toLowerCase() === user.toLowerCase()).length;
  }
}
