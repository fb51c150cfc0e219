import {
  createInboundParser,
  type InboundParser,
} from '../../../src/adapters/imap/inbound/inbound-parser.ts';
import { openInbox } from '../../../src/adapters/imap/inbox.ts';
import type { InboxWatchTimes } from '../../../src/adapters/imap/inbox-watch.ts';
import { createLoginProvider } from '../../../src/adapters/mail-server/login.ts';
import { parseImapUrl } from '../../../src/config/mailbox-config.ts';
import type { InboundMail } from '../../../src/core/inbound/inbound-mail.ts';
import type { InboxPosition } from '../../../src/core/inbound/inbox-position.ts';
import type { InboxHandlers } from '../../../src/core/ports/inbox.ts';
import type { MailboxFault } from '../../../src/core/ports/mailbox.ts';
import type { MailboxSetup } from './mailbox.ts';

export interface InboxSetup extends Omit<MailboxSetup, 'deadlines'> {
  readonly replies?: boolean;
  readonly times?: Partial<InboxWatchTimes>;
  /** Closed with the watch. */
  readonly parser?: InboundParser;
  /** Where the position is stored. Give it to a second watch to go on. */
  readonly stored?: { position: InboxPosition | null };
  readonly onMail?: InboxHandlers['onMail'];
}

export interface InboxUnderTest extends AsyncDisposable {
  /** Reports and replies, in the order in which they were passed. */
  readonly mails: InboundMail[];
  /** Faults, and null for each time that the inbox could be read. */
  readonly faults: (MailboxFault | null)[];
  readonly stored: { position: InboxPosition | null };
  /** Number of mails that were skipped since they could not be read. */
  readonly unreadable: number;
}

/** Long enough for a loaded machine. */
const TIMES: InboxWatchTimes = {
  renewMs: 60_000,
  commandMs: 15_000,
  sweepMs: 10,
  checkMs: 30_000,
  reconnectMs: 20,
  maxBackoffMs: 100,
  stableMs: 1000,
  searchRetryMs: 100,
  refusedMs: 100,
};

/** Follows the inbox of an account, as the service does. */
export function watchTestInbox({
  url,
  ca,
  user = 'bot@simulator.test',
  credentials,
  replies = true,
  times,
  parser = createInboundParser(),
  stored = { position: null },
  onMail,
}: InboxSetup): InboxUnderTest {
  const mails: InboundMail[] = [];
  const faults: (MailboxFault | null)[] = [];
  let unreadable = 0;
  const inbox = openInbox({
    user,
    login: createLoginProvider(user, credentials, 2000),
    server: parseImapUrl(url),
    ca: ca ?? null,
    parser,
    replies,
    times: { ...TIMES, ...times },
  });
  const watch = inbox.watch({
    onUnreadable() {
      unreadable += 1;
    },
    loadPosition: async () => stored.position,
    savePosition: async (position) => {
      stored.position = position;
    },
    async onMail(mail, receivedAt) {
      await onMail?.(mail, receivedAt);
      mails.push(mail);
    },
    onFault: (fault) => faults.push(fault),
  });
  return {
    mails,
    faults,
    stored,
    get unreadable() {
      return unreadable;
    },
    async [Symbol.asyncDispose]() {
      await watch.close();
      await parser.close();
    },
  };
}
