import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { hasImapDovecot, type ImapDovecot, startImapDovecot } from '../helpers/imap/dovecot.ts';
import { type InboxSetup, type InboxUnderTest, watchTestInbox } from '../helpers/imap/inbox-watch.ts';
import { passwordOf, writesOf } from '../helpers/imap/mailbox.ts';
import { aReply, aReport } from '../helpers/inbound-mail.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { refreshTokenOf } from '../helpers/smtp/transport.ts';

const WAIT = { timeout: 15_000, interval: 20 };
const DAY = 24 * 3_600_000;

function toMail(text: string): string {
  return text.replaceAll('\n', '\r\n');
}

/** A report whose id has the number. */
function report(number: number): string {
  return toMail(aReport().replace(/^Message-ID: .*$/m, `Message-ID: <${number}@mx.google.com>`));
}

const UNRELATED = toMail('From: ada@example.com\nMessage-ID: <x@example.com>\nSubject: Hello\n\nHello\n');

function watchSimulator({ imap, ca, user, password }: Simulator, setup: Partial<InboxSetup> = {}) {
  return watchTestInbox({ url: imap.url, ca, user, credentials: passwordOf(password), ...setup });
}

async function waitForIdle({ imap }: Simulator): Promise<void> {
  await vi.waitFor(() => expect(imap.idleSessions).toBe(1), WAIT);
}

async function waitForIds({ mails }: InboxUnderTest, numbers: readonly number[]): Promise<void> {
  const ids = numbers.map((number) => `<${number}@mx.google.com>`);
  await vi.waitFor(() => expect(mails.map(({ mailId }) => mailId)).toEqual(ids), WAIT);
}

describe.concurrent('the watch of an inbox', { timeout: 60_000 }, () => {
  test('reads a report while it idles, on one connection, and changes nothing', async () => {
    await using gmail = await startSimulator();
    await using inbox = watchSimulator(gmail);
    await waitForIdle(gmail);
    gmail.imap.deliver(UNRELATED);
    gmail.imap.deliver(report(1));
    await waitForIds(inbox, [1]);
    expect(inbox.mails).toMatchObject([{ kind: 'report', recipients: [{ addresses: ['ada@example.com'] }] }]);
    await waitForIdle(gmail);
    gmail.imap.deliver(report(2));
    await waitForIds(inbox, [1, 2]);
    expect(gmail.imap.counters).toMatchObject({ connections: 1, logins: 1 });
    expect(writesOf(gmail)).toEqual([]);
    expect(inbox.faults.every((fault) => fault === null)).toBe(true);
  });

  test('reads the headers of replies and the bodies of reports alone', async () => {
    await using gmail = await startSimulator();
    await using inbox = watchSimulator(gmail);
    await waitForIdle(gmail);
    gmail.imap.deliver(UNRELATED);
    gmail.imap.deliver(toMail(aReply()));
    gmail.imap.deliver(report(1));
    await vi.waitFor(() => expect(inbox.mails.map(({ kind }) => kind)).toEqual(['reply', 'report']), WAIT);
    const fetches = gmail.imap.commands.map(({ text }) => text).filter((text) => text.includes('FETCH'));
    expect(fetches.filter((text) => !text.includes('BODY.PEEK[HEADER]'))).toHaveLength(1);
  });

  test('leaves replies alone if only reports are wanted', async () => {
    await using gmail = await startSimulator();
    await using inbox = watchSimulator(gmail, { replies: false });
    await waitForIdle(gmail);
    gmail.imap.deliver(toMail(aReply()));
    gmail.imap.deliver(report(1));
    await waitForIds(inbox, [1]);
  });

  test('reads what came while it was not connected, each mail once', async () => {
    await using gmail = await startSimulator();
    const stored = { position: null };
    {
      await using inbox = watchSimulator(gmail, { stored });
      await waitForIdle(gmail);
      gmail.imap.deliver(report(1));
      await waitForIds(inbox, [1]);
    }
    gmail.imap.deliver(report(2));
    gmail.imap.deliver(report(3));
    await using inbox = watchSimulator(gmail, { stored });
    await waitForIds(inbox, [2, 3]);
    gmail.imap.closeConnections();
    gmail.imap.deliver(report(4));
    await waitForIds(inbox, [2, 3, 4]);
  });

  test('passes a mail again if handling it failed', async () => {
    await using gmail = await startSimulator();
    let failures = 2;
    await using inbox = watchSimulator(gmail, {
      onMail: async () => {
        if (failures-- > 0) throw new Error('The backend is away');
      },
    });
    await waitForIdle(gmail);
    gmail.imap.deliver(report(1));
    await waitForIds(inbox, [1]);
    expect(failures).toBe(-1);
  });

  test('is closed without waiting for a mail that is being handled', async () => {
    await using gmail = await startSimulator();
    const started = Promise.withResolvers<void>();
    const onMail = () => {
      started.resolve();
      return new Promise<void>(() => {});
    };
    await using inbox = watchSimulator(gmail, { onMail });
    await waitForIdle(gmail);
    gmail.imap.deliver(report(1));
    await started.promise;
    expect(inbox.mails).toEqual([]);
  });

  test('reads recent mail again once UIDVALIDITY has changed, and skips what it has handled', async () => {
    await using gmail = await startSimulator();
    await using inbox = watchSimulator(gmail);
    await waitForIdle(gmail);
    gmail.imap.deliver(report(1));
    await waitForIds(inbox, [1]);
    gmail.imap.changeUidValidity();
    gmail.imap.deliver(report(2));
    await waitForIds(inbox, [1, 2]);
    await waitForIdle(gmail);
    gmail.imap.deliver(report(3));
    await waitForIds(inbox, [1, 2, 3]);
  });

  test('finds a recent report that a filter has moved, by the search of all mail', async () => {
    await using gmail = await startSimulator();
    gmail.imap.deliver(report(1), { folder: 'all', receivedAt: Date.now() - DAY });
    gmail.imap.deliver(report(2), { folder: 'all', receivedAt: Date.now() - 5 * DAY });
    await using inbox = watchSimulator(gmail);
    await waitForIds(inbox, [1]);
    await waitForIdle(gmail);
    gmail.imap.deliver(report(3));
    await waitForIds(inbox, [1, 3]);
  });

  test('renews IDLE', async () => {
    await using gmail = await startSimulator();
    await using _ = watchSimulator(gmail, { times: { renewMs: 50 } });
    const idles = () => gmail.imap.commands.filter(({ text }) => text.startsWith('IDLE'));
    await vi.waitFor(() => expect(idles().length).toBeGreaterThan(3), WAIT);
    expect(gmail.imap.counters.connections).toBe(1);
  });

  test.each([
    ['a connection that is closed', (gmail: Simulator) => gmail.imap.closeConnections()],
    [
      'a reply that is cut off',
      (gmail: Simulator) => gmail.imap.setFault({ command: 'FETCH', kind: 'cut', afterBytes: 200 }),
    ],
    ['garbage', (gmail: Simulator) => gmail.imap.setFault({ command: 'FETCH', kind: 'garbage' })],
    [
      'a refused command',
      (gmail: Simulator) => gmail.imap.setFault({ command: 'EXAMINE', kind: 'refuse', text: 'No' }),
    ],
  ])('goes on after %s', async (_name, disturb) => {
    await using gmail = await startSimulator();
    await using inbox = watchSimulator(gmail, { times: { commandMs: 1000 } });
    await waitForIdle(gmail);
    disturb(gmail);
    gmail.imap.deliver(report(1));
    await vi.waitFor(() => expect(gmail.imap.counters.connections).toBeGreaterThan(1), WAIT);
    gmail.imap.setFault(null);
    await waitForIds(inbox, [1]);
    expect(inbox.faults.at(-1)).toBeNull();
  });

  test('connects again with another access token before the one in use expires', async () => {
    await using gmail = await startSimulator();
    gmail.oauth.setLifetime(3);
    const credentials = () => refreshTokenOf(gmail);
    await using inbox = watchSimulator(gmail, { credentials, times: { checkMs: 20 } });
    await vi.waitFor(() => expect(gmail.imap.counters.logins).toBeGreaterThan(1), WAIT);
    gmail.imap.deliver(report(1));
    await waitForIds(inbox, [1]);
    expect(gmail.imap.counters.failedLogins).toBe(0);
    expect(inbox.faults.every((fault) => fault === null)).toBe(true);
  });

  test('reports a refused login, and logs in again later', async () => {
    await using gmail = await startSimulator();
    gmail.imap.setLoginFault('imap-off-by-admin');
    await using inbox = watchSimulator(gmail);
    await vi.waitFor(
      () => expect(inbox.faults[0]).toMatchObject({ code: 'imap_disabled', isRefusal: true }),
      WAIT,
    );
    gmail.imap.setLoginFault(null);
    gmail.imap.deliver(report(1));
    await waitForIds(inbox, [1]);
  });
});

describe.skipIf(!hasImapDovecot)(
  'the watch of an inbox of Dovecot (skipped without dovecot 2.3 and its imapd, and if not root)',
  { timeout: 60_000 },
  () => {
    let dovecot: ImapDovecot;
    let users = 0;

    beforeAll(async () => {
      dovecot = await startImapDovecot();
    });
    afterAll(async () => {
      await dovecot[Symbol.asyncDispose]();
    });

    function watchDovecot(setup: Partial<InboxSetup> = {}) {
      const { url, ca, password } = dovecot;
      return watchTestInbox({ url, ca, credentials: passwordOf(password), ...setup });
    }

    test('reads reports, also those of more than 256 KB, and after a change of UIDVALIDITY', async () => {
      const user = `inbox${++users}@acme.test`;
      await dovecot.deliver(user, UNRELATED);
      await using inbox = watchDovecot({ user });
      await vi.waitFor(() => expect(inbox.faults).toContain(null), WAIT);
      await dovecot.deliver(user, `${report(1)}${'x'.repeat(300 * 1024)}\r\n`);
      await waitForIds(inbox, [1]);
      await dovecot.kick(user);
      await dovecot.deliver(user, report(2));
      await waitForIds(inbox, [1, 2]);
      await dovecot.changeUidValidity(user, 'INBOX');
      await dovecot.deliver(user, report(3));
      await waitForIds(inbox, [1, 2, 3]);
    });

    test('reads on through 10,000 unrelated mails', async () => {
      const user = `inbox${++users}@acme.test`;
      const stored = { position: null };
      {
        await using inbox = watchDovecot({ user, stored });
        await vi.waitFor(() => expect(inbox.faults).toContain(null), WAIT);
      }
      for (let i = 0; i < 10_000; i += 100)
        await Promise.all(Array.from({ length: 100 }, () => dovecot.deliver(user, UNRELATED)));
      await dovecot.deliver(user, report(1));
      await using inbox = watchDovecot({ user, stored });
      await vi.waitFor(() => expect(inbox.mails).toHaveLength(1), { ...WAIT, timeout: 50_000 });
    });
  },
);
