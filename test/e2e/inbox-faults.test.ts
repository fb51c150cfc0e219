import { describe, expect, test, vi } from 'vitest';
import { createInboundParser } from '../../src/adapters/imap/inbound/inbound-parser.ts';
import type { InboxPosition } from '../../src/core/inbound/inbox-position.ts';
import { type InboxSetup, type InboxUnderTest, watchTestInbox } from '../helpers/imap/inbox-watch.ts';
import { passwordOf } from '../helpers/imap/mailbox.ts';
import { type RawCommand, type RawImapServer, startRawImap } from '../helpers/imap/raw-imap.ts';
import { aReport } from '../helpers/inbound-mail.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const WAIT = { timeout: 15_000, interval: 20 };
const DAY = 24 * 3_600_000;
const UNRELATED = 'From: ada@example.com\r\nSubject: Hello\r\n\r\nHello\r\n';

/** A report whose id has the number. */
function report(number: number): string {
  return aReport()
    .replace(/^Message-ID: .*$/m, `Message-ID: <${number}@mx.google.com>`)
    .replaceAll('\n', '\r\n');
}

/** Of an inbox from which nothing has been read. The other folders were searched just now. */
function unread(): InboxPosition {
  const now = Date.now();
  return { uidValidity: 1, lastUid: 0, sweptAt: now, searchedAt: now, handled: [] };
}

function watch({ url, ca }: RawImapServer, setup: Partial<InboxSetup> = {}): InboxUnderTest {
  const stored = { position: unread() };
  return watchTestInbox({ url, ca, credentials: passwordOf('secret'), stored, ...setup });
}

async function waitForIds({ mails }: InboxUnderTest, numbers: readonly number[]): Promise<void> {
  const ids = numbers.map((number) => `<${number}@mx.google.com>`);
  await vi.waitFor(() => expect(mails.map(({ mailId }) => mailId)).toEqual(ids), WAIT);
}

function isBodyOf(uid: number, { name, args }: RawCommand): boolean {
  return name === 'UID FETCH' && args.startsWith(`${uid} `) && !args.includes('HEADER');
}

const fetchesOf = ({ commands }: RawImapServer) => commands.filter(({ name }) => name === 'UID FETCH');

describe.concurrent('the watch of an inbox', { timeout: 60_000 }, () => {
  test.each<[string, (command: RawCommand) => void]>([
    ['a mail of which the server sends too much', ({ send }) => send('* 1 FETCH (UID 1 BODY[] {999999}\r\n')],
    ['a mail at which the server closes the connection', ({ drop }) => drop()],
    ['a mail at which the server does not respond', () => {}],
    ['a mail that the server refuses', ({ send, tag }) => send(`${tag} NO [SERVERBUG] Failed\r\n`)],
    ['a mail without content', ({ send, tag }) => send(`* 1 FETCH (UID 1 BODY[] NIL)\r\n${tag} OK\r\n`)],
  ])('skips %s, and reports it', async (_name, respond) => {
    await using server = await startRawImap({
      script(command) {
        if (!isBodyOf(1, command)) return false;
        respond(command);
        return true;
      },
    });
    server.deliver(report(1));
    server.deliver(report(2));
    await using inbox = watch(server, { times: { commandMs: 500 } });
    await waitForIds(inbox, [2]);
    expect(inbox.unreadable).toBe(1);
  });

  test('skips a mail that takes too long to parse, and reports it', async () => {
    await using server = await startRawImap();
    const html = '<a href="'.repeat(29_000);
    const headers = 'From: mailer-daemon@example.com\r\nContent-Type: multipart/mixed; boundary=x';
    server.deliver(`${headers}\r\n\r\n--x\r\n\r\nhi\r\n--x\r\nContent-Type: text/html\r\n\r\n${html}`);
    server.deliver(report(2));
    await using inbox = watch(server, { parser: createInboundParser(1500) });
    await waitForIds(inbox, [2]);
    expect(inbox.unreadable).toBe(1);
  });

  test('skips no mail if the parser fails at any', async () => {
    await using server = await startRawImap();
    server.deliver(report(1));
    const parser = createInboundParser();
    await parser.close();
    await using inbox = watch(server, { parser });
    await vi.waitFor(() => expect(server.connections).toBeGreaterThan(3), WAIT);
    expect(inbox.unreadable).toBe(0);
    expect(inbox.stored.position).toMatchObject({ lastUid: 0 });
  });

  test('skips no mail while the server refuses to serve any', async () => {
    let isRefusing = true;
    await using server = await startRawImap({
      script({ name, tag, send }) {
        if (name !== 'UID FETCH' || !isRefusing) return false;
        send(`${tag} NO [UNAVAILABLE] Later\r\n`);
        return true;
      },
    });
    server.deliver(report(1));
    server.deliver(report(2));
    await using inbox = watch(server);
    await vi.waitFor(() => expect(server.connections).toBeGreaterThan(6), WAIT);
    isRefusing = false;
    await waitForIds(inbox, [1, 2]);
  });

  test('goes on where a long sweep was cut', async () => {
    let cuts = 0;
    await using server = await startRawImap({
      script({ name, args, drop }) {
        if (name !== 'UID FETCH' || !/[,]450[, ]/.test(args) || cuts > 0) return false;
        cuts += 1;
        drop();
        return true;
      },
    });
    for (let i = 1; i <= 500; i++) server.deliver(UNRELATED);
    server.deliver(report(501));
    await using inbox = watch(server);
    await waitForIds(inbox, [501]);
    expect(server.connections).toBe(2);
    // The 50 mails that were cut are read one at a time, each after another one.
    const read = fetchesOf(server).flatMap(({ args }) => args.split(' ', 1)[0]?.split(',') ?? []);
    expect(read.filter((uid) => Number(uid) <= 400)).toHaveLength(400);
  });

  test('connects less and less to a server that closes each connection', async () => {
    await using server = await startRawImap({
      script({ name, drop }) {
        if (name === 'IDLE') drop();
        return name === 'IDLE';
      },
    });
    const times = { reconnectMs: 20, maxBackoffMs: 60_000, stableMs: 60_000 };
    const startedAt = performance.now();
    await using inbox = watch(server, { times });
    await vi.waitFor(() => expect(server.connections).toBe(5), WAIT);
    expect(performance.now() - startedAt).toBeGreaterThan(20 * (1 + 3 + 9 + 27));
    expect(inbox.faults).toContainEqual(
      expect.objectContaining({ detail: 'The IMAP server closed the connection.' }),
    );
  });

  test('reads the inbox at intervals if a server announces mail without end', async () => {
    await using server = await startRawImap({
      script({ name, send }) {
        if (name === 'IDLE') send('* 1 EXISTS\r\n');
        return false;
      },
    });
    const startedAt = performance.now();
    await using inbox = watch(server, { times: { sweepMs: 200 } });
    const sweeps = () => server.commands.filter(({ name }) => name === 'EXAMINE').length;
    await vi.waitFor(() => expect(sweeps()).toBeGreaterThan(4), WAIT);
    expect(performance.now() - startedAt).toBeGreaterThan(4 * 200 - 10);
    expect(inbox.faults).toContain(null);
  });

  test('reads the inbox while All Mail cannot be searched', async () => {
    await using server = await startRawImap({
      folders: ['(\\HasNoChildren) "/" INBOX', '(\\All) "/" All'],
      script({ name, args, drop }) {
        if (name !== 'EXAMINE' || args !== 'All') return false;
        drop();
        return true;
      },
    });
    const position = { ...unread(), searchedAt: 0 };
    await using inbox = watch(server, { stored: { position }, times: { checkMs: 20, searchRetryMs: 500 } });
    await vi.waitFor(() => expect(server.connections).toBeGreaterThan(1), WAIT);
    await vi.waitFor(() => expect(server.commands.at(-1)?.name).toBe('IDLE'), WAIT);
    expect(inbox.stored.position).toMatchObject({ searchedAt: 0 });
  });

  test('reads new mail of a server that ends IDLE at once', async () => {
    await using server = await startRawImap({
      script({ name, tag, send }) {
        if (name === 'IDLE') send(`+ idling\r\n${tag} OK\r\n`);
        return name === 'IDLE';
      },
    });
    await using inbox = watch(server, { times: { checkMs: 100 } });
    await vi.waitFor(() => expect(inbox.faults).toContain(null), WAIT);
    server.deliver(report(1));
    await waitForIds(inbox, [1]);
  });

  test('reads the mail of a server that does not state UIDNEXT', async () => {
    await using server = await startRawImap({
      script({ name, tag, send }) {
        if (name === 'EXAMINE') send(`* 1 EXISTS\r\n* OK [UIDVALIDITY 1]\r\n${tag} OK\r\n`);
        return name === 'EXAMINE';
      },
    });
    server.deliver(report(1));
    await using inbox = watch(server);
    await waitForIds(inbox, [1]);
    await vi.waitFor(() => expect(inbox.stored.position).toMatchObject({ lastUid: 1 }), WAIT);
  });

  test('asks for a limited range of UIDs in one search', async () => {
    await using server = await startRawImap({
      script({ name, tag, send }) {
        if (name === 'EXAMINE')
          send(`* 1 EXISTS\r\n* OK [UIDVALIDITY 1]\r\n* OK [UIDNEXT 250001]\r\n${tag} OK\r\n`);
        return name === 'EXAMINE';
      },
    });
    server.deliver(report(1));
    await using inbox = watch(server);
    await waitForIds(inbox, [1]);
    await vi.waitFor(() => expect(inbox.stored.position).toMatchObject({ lastUid: 250_000 }), WAIT);
    const searches = server.commands.filter(({ name }) => name === 'UID SEARCH').map(({ args }) => args);
    expect(searches).toEqual(['UID 1:100000', 'UID 100001:200000', 'UID 200001:*']);
  });

  test('reports that a command is not completed in time', async () => {
    await using server = await startRawImap({ script: ({ name }) => name === 'UID SEARCH' });
    server.deliver(report(1));
    await using inbox = watch(server, { times: { commandMs: 100 } });
    await vi.waitFor(
      () =>
        expect(inbox.faults[0]).toMatchObject({
          code: 'imap_unavailable',
          detail: 'The IMAP server did not complete a command within 0.1 s.',
        }),
      WAIT,
    );
  });

  test('finds reports that a filter has marked as spam or deleted', async () => {
    await using gmail = await startSimulator();
    const receivedAt = Date.now() - DAY;
    gmail.imap.deliver(report(1), { folder: 'spam', receivedAt });
    gmail.imap.deliver(report(2), { folder: 'trash', receivedAt });
    const { imap, ca, user, password } = gmail;
    await using inbox = watchTestInbox({ url: imap.url, ca, user, credentials: passwordOf(password) });
    await waitForIds(inbox, [1, 2]);
  });
});
