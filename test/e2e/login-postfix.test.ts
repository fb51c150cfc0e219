import { existsSync } from 'node:fs';
import { describe, expect, test, vi } from 'vitest';
import { consent, createFolder, startLogin } from '../helpers/login.ts';
import { startService } from '../helpers/service.ts';
import { hasDovecot, startDovecot } from '../helpers/smtp/dovecot.ts';
import { hasPostfix, startPostfix } from '../helpers/smtp/postfix.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };

/** Postfix that requires an access token of the simulated Google, which Dovecot checks. */
async function startPeers(tokenInfoUrl: string) {
  const stack = new AsyncDisposableStack();
  const dovecot = stack.use(await startDovecot(tokenInfoUrl));
  const postfix = stack.use(
    await startPostfix({
      smtpd_sasl_auth_enable: 'yes',
      smtpd_sasl_type: 'dovecot',
      smtpd_sasl_path: dovecot.socket,
      smtpd_relay_restrictions: 'permit_sasl_authenticated, reject',
    }),
  );
  return { dovecot, postfix, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

describe.skipIf(!hasPostfix || !hasDovecot)(
  'outtray login with Postfix and Dovecot (skipped without postfix and dovecot 2.3, and if not root)',
  { timeout: 60_000 },
  () => {
    test('logs in by XOAUTH2, and the service sends with its file', async () => {
      await using google = await startSimulator();
      await using peers = await startPeers(`${google.httpUrl}/tokeninfo`);
      const { postfix } = peers;
      await using folder = await createFolder();
      const login = startLogin(google, folder.file, {
        servers: [{ host: 'localhost', port: postfix.port, tls: 'starttls' }],
        network: { ca: postfix.ca },
      });
      await fetch(await consent(await login.page));
      expect(await login.trial).toEqual({ kind: 'accepted', server: 'localhost' });

      const env = { GMAIL_USER: google.user, GMAIL_APP_PASSWORD: '', GMAIL_OAUTH_FILE: folder.file };
      await using service = await startService({
        smtp: `smtp://localhost:${postfix.port}`,
        ca: postfix.ca,
        env,
      });
      const { body } = await service.send(HELLO, { wait: 30 });
      expect(body).toMatchObject({ status: 'sent' });
      await vi.waitFor(
        async () =>
          expect(await postfix.log()).toContain(`sasl_method=XOAUTH2, sasl_username=${google.user}`),
        10_000,
      );
    });

    test('leaves no file if Postfix refuses the token', async () => {
      await using google = await startSimulator();
      await using peers = await startPeers(`${google.httpUrl}/nothing-here`);
      const { postfix, dovecot } = peers;
      await using folder = await createFolder();
      const login = startLogin(google, folder.file, {
        servers: [{ host: 'localhost', port: postfix.port, tls: 'starttls' }],
        network: { ca: postfix.ca },
      });
      await fetch(await consent(await login.page));
      expect(await login.trial).toMatchObject({ kind: 'refused', failures: [{ id: 'auth' }] });
      expect(await dovecot.log()).toContain('oauth2');
      expect(existsSync(folder.file)).toBe(false);
    });
  },
);
