import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { hasImapDovecot, type ImapDovecot, startImapDovecot } from '../helpers/imap/dovecot.ts';
import { openTestMailbox, passwordOf } from '../helpers/imap/mailbox.ts';
import { mailOf } from '../helpers/imap/simulator-mailbox.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { refreshTokenOf } from '../helpers/smtp/transport.ts';

const ID = '<msg_01k7m4q2@acme.test>';
const FOUND = { kind: 'found' };
const ABSENT = { kind: 'absent' };
const DAY = 24 * 3_600_000;

describe.skipIf(!hasImapDovecot)(
  'the search of Sent Mail in Dovecot (skipped without dovecot 2.3 and its imapd, and if not root)',
  { timeout: 30_000 },
  () => {
    let dovecot: ImapDovecot;
    let users = 0;

    beforeAll(async () => {
      dovecot = await startImapDovecot();
    });
    afterAll(async () => {
      await dovecot[Symbol.asyncDispose]();
    });

    /** Opens the mailbox of another user for each test. */
    function openMailboxOf(setup: Partial<Parameters<typeof openTestMailbox>[0]> = {}) {
      users += 1;
      const user = `bot${users}@acme.test`;
      const { url, ca, password } = dovecot;
      const mailbox = openTestMailbox({ url, ca, user, credentials: passwordOf(password), ...setup });
      const deliver = (messageId: string, receivedAt = Date.now()) =>
        dovecot.deliver(user, mailOf(messageId), { folder: dovecot.sentName, receivedAt });
      return { user, mailbox, deliver, [Symbol.asyncDispose]: mailbox.close };
    }

    test.each(['url', 'starttlsUrl'] as const)('finds what is there, by %s', async (url) => {
      await using account = openMailboxOf({ url: dovecot[url] });
      expect(await account.mailbox.findSent(ID)).toEqual(ABSENT);
      await account.deliver(ID);
      expect(await account.mailbox.findSent(ID)).toEqual(FOUND);
      expect(await account.mailbox.findSent('<msg_other@acme.test>')).toEqual(ABSENT);
    });

    test('finds a message after its folder got another UIDVALIDITY', async () => {
      await using account = openMailboxOf();
      await account.deliver(ID);
      expect(await account.mailbox.findSent(ID)).toEqual(FOUND);
      await dovecot.changeUidValidity(account.user, dovecot.sentName);
      expect(await account.mailbox.findSent(ID)).toEqual(FOUND);
    });

    test('finds an old message by a search of the header', async () => {
      await using account = openMailboxOf();
      await account.deliver(ID, Date.now() - 3 * DAY);
      for (let i = 0; i < 250; i++) await account.deliver(`<old-${i}@acme.test>`, Date.now() - 2 * DAY);
      expect(await account.mailbox.findSent(ID)).toEqual(FOUND);
    });

    test('ends in time with 10,000 unrelated messages', async () => {
      await using account = openMailboxOf();
      for (let i = 0; i < 10_000; i += 100) {
        const ids = Array.from({ length: 100 }, (_, j) => `<other-${i + j}@acme.test>`);
        await Promise.all(ids.map((id) => account.deliver(id)));
      }
      expect(await account.mailbox.findSent(ID)).toEqual(ABSENT);
      await account.deliver(ID);
      expect(await account.mailbox.findSent(ID)).toEqual(FOUND);
    });

    test('is refused with a wrong password', async () => {
      const credentials = passwordOf('wrongwrongwrong1');
      await using account = openMailboxOf({ credentials });
      expect(await account.mailbox.findSent(ID)).toMatchObject({
        fault: {
          code: 'imap_login_refused',
          isRefusal: true,
          detail: expect.stringContaining('Authentication failed'),
        },
      });
    });

    test('logs in by XOAUTH2, and is refused with the token of another user', async () => {
      await using google = await startSimulator();
      await using server = await startImapDovecot({ tokenInfoUrl: `${google.httpUrl}/tokeninfo` });
      const setup = { url: server.url, ca: server.ca, credentials: () => refreshTokenOf(google) };
      await using mailbox = openTestMailbox({ ...setup, user: google.user });
      expect(await mailbox.findSent(ID)).toEqual(ABSENT);
      await using other = openTestMailbox({ ...setup, user: 'other@simulator.test' });
      expect(await other.findSent(ID)).toMatchObject({ fault: { code: 'imap_login_refused' } });
    });
  },
);
