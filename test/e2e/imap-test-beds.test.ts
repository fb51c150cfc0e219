import { once } from 'node:events';
import { ImapFlow } from 'imapflow';
import { describe, expect, test, vi } from 'vitest';
import { hasImapDovecot, type ImapDovecot, startImapDovecot } from '../helpers/imap/dovecot.ts';
import { startFilingServer } from '../helpers/imap/filing-server.ts';
import { mailOf } from '../helpers/imap/simulator-mailbox.ts';
import { CUTS, startCuttingProxy } from '../helpers/smtp/cutting-proxy.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { openTransportTo, refreshTokenOf } from '../helpers/smtp/transport.ts';

const USER = 'bot@acme.test';

async function openClient(dovecot: ImapDovecot, settings: Partial<ImapFlow['options']> = {}) {
  const client = new ImapFlow({
    host: 'localhost',
    port: dovecot.port,
    secure: true,
    auth: { user: USER, pass: dovecot.password },
    tls: { ca: dovecot.ca },
    logger: false,
    ...settings,
  });
  client.on('error', () => {});
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.logout() });
}

describe.skipIf(!hasImapDovecot)(
  'Dovecot (skipped without dovecot-imapd 2.3, and if not root)',
  { timeout: 60_000 },
  () => {
    test('has the copies that the submission server files after its delay', async () => {
      await using dovecot = await startImapDovecot();
      await using server = await startFilingServer(dovecot, { delayMs: 60_000 });
      await using client = await openClient(dovecot);
      const sent = (await client.list()).find(({ specialUse }) => specialUse === '\\Sent');
      expect(sent?.path).toBe(dovecot.sentName);
      await client.mailboxOpen(dovecot.sentName, { readOnly: true });
      await using transport = openTransportTo(
        { starttlsPort: 0, tlsPort: 0, ca: server.ca, user: USER },
        {
          credentials: () => ({ kind: 'app_password', password: dovecot.password }),
          servers: [{ host: 'localhost', port: server.port, tls: 'implicit' }],
        },
      );
      expect(await transport.send()).toMatchObject({ fault: null });
      server.setDelay(10);
      expect(await transport.send()).toMatchObject({ fault: null });
      await vi.waitFor(() => expect(server.filed).toEqual([server.accepted[1]]), 10_000);
      await client.noop();
      const mails = await client.fetchAll('1:*', { envelope: true, internalDate: true });
      expect(mails.map(({ envelope }) => envelope?.messageId)).toEqual(server.filed);
    });

    test('files each user’s mail separately, with INTERNALDATE', async () => {
      await using dovecot = await startImapDovecot();
      const receivedAt = Date.UTC(2026, 0, 2, 3, 4, 5);
      await dovecot.deliver(USER, mailOf('<1@acme.test>'), { receivedAt });
      await dovecot.deliver('other@acme.test', mailOf('<2@acme.test>'));
      await using client = await openClient(dovecot);
      await client.mailboxOpen('INBOX', { readOnly: true });
      const mails = await client.fetchAll('1:*', { envelope: true, internalDate: true });
      expect(mails).toMatchObject([
        { envelope: { messageId: '<1@acme.test>' }, internalDate: new Date(receivedAt) },
      ]);
    });

    test('accepts an access token, and requires TLS on its other port', async () => {
      await using google = await startSimulator({ user: USER });
      await using dovecot = await startImapDovecot({ tokenInfoUrl: `${google.httpUrl}/tokeninfo` });
      const { tokenUrl, ...fields } = refreshTokenOf(google);
      const response = await fetch(tokenUrl, {
        method: 'POST',
        body: new URLSearchParams({
          grant_type: 'refresh_token',
          client_id: fields.clientId,
          client_secret: fields.clientSecret ?? '',
          refresh_token: fields.refreshToken,
        }),
      });
      const { access_token: accessToken } = Object(await response.json());
      await using client = await openClient(dovecot, {
        port: Number(new URL(dovecot.starttlsUrl).port),
        secure: false,
        doSTARTTLS: true,
        auth: { user: USER, accessToken },
      });
      expect(client.secureConnection).toBe(true);
      await expect(openClient(dovecot, { auth: { user: USER, accessToken: 'other' } })).rejects.toThrow();
    });

    test('changes UIDVALIDITY, and ends the session in IDLE', async () => {
      await using dovecot = await startImapDovecot();
      await dovecot.deliver(USER, mailOf('<1@acme.test>'));
      const client = await openClient(dovecot);
      const before = await client.mailboxOpen('INBOX', { readOnly: true });
      const closed = once(client, 'close');
      client.idle().catch(() => {});
      await dovecot.changeUidValidity(USER, 'INBOX');
      await closed;
      await using next = await openClient(dovecot);
      const after = await next.mailboxOpen('INBOX', { readOnly: true });
      expect(after.exists).toBe(1);
      expect(after.uidValidity).not.toBe(before.uidValidity);
    });
  },
);

describe('cutting proxy', () => {
  test.each(CUTS)('cuts %s: the attempt is uncertain', async (place) => {
    await using simulator = await startSimulator();
    await using proxy = await startCuttingProxy({
      port: simulator.tlsPort,
      ca: simulator.ca,
      cut: (messages) => (messages === 1 ? place : null),
    });
    await using transport = openTransportTo(
      { ...simulator, ca: proxy.ca },
      {
        credentials: () => ({ kind: 'app_password', password: simulator.password }),
        servers: [{ host: 'localhost', port: Number(new URL(proxy.url).port), tls: 'implicit' }],
      },
    );
    expect(await transport.send()).toMatchObject({ fault: { certain: false } });
    expect(await transport.send()).toMatchObject({ fault: null });
    expect(proxy.counters).toEqual({ messages: 2, cuts: 1 });
    const received = place === 'before-dot' ? 1 : 2;
    await simulator.waitFor(({ messages }) => messages.length === received);
  });
});
