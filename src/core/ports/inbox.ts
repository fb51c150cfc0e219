import type { InboundMail } from '../inbound/inbound-mail.ts';
import type { InboxPosition } from '../inbound/inbox-position.ts';
import type { MailboxFault } from './mailbox.ts';

/** What the watch of an inbox needs, and what it reports. */
export interface InboxHandlers {
  /** Reads the position that was stored last. Null: the inbox was never read. */
  readonly loadPosition: () => Promise<InboxPosition | null>;
  readonly savePosition: (position: InboxPosition) => Promise<void>;
  /**
   * Handles a report or a reply; `receivedAt` is in epoch ms. A mail is passed again if this rejects,
   * or after a crash: handling it twice must change nothing.
   */
  readonly onMail: (mail: InboundMail, receivedAt: number) => Promise<void>;
  /** Called for a mail that cannot be read. It is skipped. */
  readonly onUnreadable: () => void;
  /** Called when the inbox cannot be read, and with null each time that it was read to its end. */
  readonly onFault: (fault: MailboxFault | null) => void;
}

export interface InboxWatch {
  /** Ends what is under way, and closes the connection. Does not wait for the server. */
  close(): Promise<void>;
}

/** The inbox of an account, opened read-only. Nothing in it is marked, moved or deleted. */
export interface Inbox {
  /**
   * Follows the inbox with one connection, until the watch is closed: reads what has come since the
   * stored position, then waits for mail. After a fault it connects again.
   */
  watch(handlers: InboxHandlers): InboxWatch;
}
