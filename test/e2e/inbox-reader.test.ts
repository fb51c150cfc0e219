import { ImapFlow } from 'imapflow';
import { describe, expect, test } from 'vitest';
import { createInboundParser } from '../../src/adapters/imap/inbound/inbound-parser.ts';
import { readMails } from '../../src/adapters/imap/inbox-reader.ts';
import { IMAP_DEADLINES, openSession } from '../../src/adapters/imap/session.ts';
import { createSuspects } from '../../src/adapters/imap/suspects.ts';
import { createLoginProvider } from '../../src/adapters/mail-server/login.ts';
import { parseImapUrl } from '../../src/config/mailbox-config.ts';
import { hasImapDovecot, startImapDovecot } from '../helpers/imap/dovecot.ts';
import { passwordOf } from '../helpers/imap/mailbox.ts';

const USER = 'reader@acme.test';
const MAIL = 'From: ada@example.com\r\nSubject: Hello\r\n\r\nHello.\r\n';

describe.skipIf(!hasImapDovecot)(
  'mails of Dovecot (skipped without dovecot 2.3 and its imapd, and if not root)',
  { timeout: 60_000 },
  () => {
    test('that another client changes meanwhile do not count as read', async () => {
      await using dovecot = await startImapDovecot();
      const { ca, password, port, url } = dovecot;
      for (let i = 0; i < 4; i++) await dovecot.deliver(USER, MAIL);
      const session = await openSession(
        {
          user: USER,
          login: createLoginProvider(USER, passwordOf(password), 2000),
          server: parseImapUrl(url),
          ca,
          deadlines: IMAP_DEADLINES,
        },
        AbortSignal.timeout(15_000),
      );
      await session.client.mailboxOpen('INBOX', { readOnly: true });

      // Dovecot reports these changes in its response to the next command, as mails without headers.
      const auth = { user: USER, pass: password };
      const other = new ImapFlow({ host: 'localhost', port, secure: true, tls: { ca }, auth, logger: false });
      await other.connect();
      await other.mailboxOpen('INBOX');
      await other.messageFlagsAdd('2:4', ['\\Seen'], { uid: true });
      await other.logout();

      const parser = createInboundParser();
      const uids: number[] = [];
      const options = { parser, replies: true, onUnreadable() {}, commandMs: 15_000 };
      for await (const { uid } of readMails(session.client, [1, 2], createSuspects(), options))
        uids.push(uid);
      session.close();
      await parser.close();
      expect(uids).toEqual([1, 2]);
    });
  },
);
