import { describe, expect, test, vi } from 'vitest';
import { ERRORS } from '../../src/core/errors.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { checkOf, diagnoseWith } from '../helpers/doctor.ts';
import { hasImapDovecot, startImapDovecot } from '../helpers/imap/dovecot.ts';
import { mailOf } from '../helpers/imap/simulator-mailbox.ts';
import { startService } from '../helpers/service.ts';
import { accountsOf } from '../helpers/smtp/gmail.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { startTokenEndpoint } from '../helpers/token-endpoint.ts';

const LOST = { to: 'drop-after-dot@simulator.test', subject: 'Hello', text: 'Hello, Ada.' };
const SEND_ONLY = 'https://www.googleapis.com/auth/gmail.send';
const FOUND = { status: 'sent', possible_duplicate: false, confirmed_by: 'sent_mail' };
const MISSING = { status: 'refused', code: 'imap_scope_missing' };

/** The environment of an account of the simulator that logs in by XOAUTH2. */
function envOf({ user, oauth }: Simulator, tokenUrl = oauth.tokenUrl) {
  return {
    GMAIL_USER: user,
    GMAIL_APP_PASSWORD: '',
    GMAIL_OAUTH_CLIENT_ID: oauth.clientId,
    GMAIL_OAUTH_CLIENT_SECRET: oauth.clientSecret,
    GMAIL_OAUTH_REFRESH_TOKEN: oauth.refreshToken,
    GMAIL_OAUTH_TOKEN_URL: tokenUrl,
  };
}

describe.concurrent('an account that logs in by XOAUTH2', { timeout: 60_000 }, () => {
  test('finds a message in Sent Mail with the token that sent it', async () => {
    await using gmail = await startSimulator();
    const env = { ...envOf(gmail), IMAP_URL: gmail.imap.url };
    await using service = await startService({ smtp: gmail.url, ca: gmail.ca, env });
    expect((await service.send(LOST, { wait: 30 })).body).toMatchObject(FOUND);
    expect(gmail.oauth.requests).toBe(1);
  });

  test('sends with a token that IMAP refuses for its scope, and shows the fix', async () => {
    const token = 'a-token-for-smtp-only';
    await using gmail = await startSimulator({ password: token });
    await using other = await startSimulator();
    await using issuer = await startTokenEndpoint({
      access_token: token,
      expires_in: 3600,
      scope: SEND_ONLY,
    });
    const env = { ...envOf(gmail, issuer.url), IMAP_URL: other.imap.url };
    const ca = `${gmail.ca}\n${other.ca}`;
    await using service = await startService({ smtp: gmail.url, ca, env: { ...env, ON_UNCERTAIN: 'hold' } });
    const first = await service.send(LOST, { wait: 30 });
    expect(first.body.detail).toMatch(/Sent Mail could not be searched within .*Invalid credentials/);
    await vi.waitFor(async () =>
      expect((await accountsOf(service))[0]).toMatchObject({ status: 'ready', mailbox: MISSING }),
    );
    const next = await service.send(LOST, { wait: 30 });
    expect(next.body.detail).toMatch(/Sent Mail could not be searched: OAuth token not valid for IMAP\.$/);
    const sent = await service.send({ ...LOST, to: 'ada@example.com' }, { wait: 30 });
    expect(sent.body.status).toBe('sent');
    const path = `/messages/${first.body.message?.id}/reconcile`;
    const { hint } = ERRORS.imap_scope_missing;
    expect(await service.request(path, { method: 'POST' })).toMatchObject({
      status: 409,
      body: { code: 'imap_scope_missing', hint },
    });
    const report = await diagnoseWith(gmail, { env, network: { ca } });
    expect(report.ok).toBe(true);
    expect(checkOf(report, 'imap')).toMatchObject({
      status: 'warn',
      code: 'imap_scope_missing',
      advice: hint,
    });
  });

  test.skipIf(!hasImapDovecot)(
    'finds a message in a folder with a non-ASCII name (with dovecot, its imapd, as root)',
    async () => {
      await using gmail = await startSimulator();
      const tokenInfoUrl = `${gmail.httpUrl}/tokeninfo`;
      await using dovecot = await startImapDovecot({ tokenInfoUrl, sentName: 'Отправленные & Envoyés' });
      const env = { ...envOf(gmail), IMAP_URL: dovecot.url };
      const ca = `${gmail.ca}\n${dovecot.ca}`;
      await using service = await startService({ smtp: gmail.url, ca, env: { ...env, RECONCILE_FOR: '5h' } });
      const { body } = await service.send(LOST);
      await dovecot.deliver(gmail.user, mailOf(body.message_id), { folder: dovecot.sentName });
      expect(await service.settled(body.id)).toMatchObject(FOUND);
    },
  );
});
