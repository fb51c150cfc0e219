import { describe, expect, test, vi } from 'vitest';
import { checkOf, diagnose } from '../helpers/doctor.ts';
import { type ServiceUnderTest, startService } from '../helpers/service.ts';
import { accountsOf } from '../helpers/smtp/gmail.ts';
import { hasPostfix, type Postfix, startPostfix } from '../helpers/smtp/postfix.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };
const ALLOWED = { mynetworks: '127.0.0.0/8' };
const NOT_ALLOWED = { mynetworks: '10.0.0.0/8' };
const HELO_CHECKS = {
  ...ALLOWED,
  smtpd_helo_required: 'yes',
  smtpd_helo_restrictions: 'reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname',
};
const WITHOUT_LOGIN = {
  GMAIL_USER: 'bot@acme.test',
  GMAIL_APP_PASSWORD: '',
  GMAIL_DOMAINS: 'acme.test',
  SMTP_EHLO_NAME: 'crm.acme.test',
};

function urlOf({ port }: Postfix): string {
  return `smtp://localhost:${port}?login=none`;
}

function serviceOf(postfix: Postfix, env: Record<string, string> = {}): Promise<ServiceUnderTest> {
  return startService({ smtp: urlOf(postfix), ca: postfix.ca, env: { ...WITHOUT_LOGIN, ...env } });
}

function doctorOf(postfix: Postfix, env: Record<string, string> = {}) {
  const { port, ca } = postfix;
  return diagnose({
    smtp: `smtp://localhost:${port}?login=none`,
    env: { ...WITHOUT_LOGIN, ...env },
    network: { ca, limitMs: 10_000 },
  });
}

const NAME = 'Postfix as a relay without login (skipped unless root has postfix)';

describe.skipIf(!hasPostfix)(NAME, { timeout: 60_000, concurrent: true }, () => {
  test('relays mail from every address of GMAIL_DOMAINS, encrypted, with SMTP_EHLO_NAME', async () => {
    await using postfix = await startPostfix({ ...HELO_CHECKS, smtpd_tls_loglevel: '1' });
    await using service = await serviceOf(postfix);
    const { status, body } = await service.send({ ...HELLO, from: 'sales@acme.test' }, { wait: 30 });
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: 'sent', attempts: [{ account: 'bot@acme.test' }] });
    await vi.waitFor(async () => expect(await postfix.log()).toContain('from=<sales@acme.test>'), 10_000);
    expect(await postfix.log()).toContain('TLS connection established');
    expect((await service.send({ ...HELLO, from: 'sales@other.test' })).body).toMatchObject({
      status: 403,
      code: 'sender_not_allowed',
    });
  });

  test('pauses the account with relay_denied until mynetworks has the client, then gets its mail', async () => {
    await using postfix = await startPostfix(NOT_ALLOWED);
    await using service = await serviceOf(postfix);
    const { body } = await service.send(HELLO, { wait: 30 });
    expect(body).toMatchObject({
      status: 'deferred',
      error: { code: 'relay_denied', scope: 'account', smtp: { code: 554 } },
    });
    expect(await accountsOf(service)).toMatchObject([
      { status: 'paused', code: 'relay_denied', hint: expect.stringContaining('mynetworks') },
    ]);
    expect(await service.request('/suppressions')).toMatchObject({ body: { suppressions: [] } });
    const report = await doctorOf(postfix);
    expect(checkOf(report, 'auth')).toMatchObject({ status: 'skip', detail: 'no login: login=none' });
    expect(checkOf(report, 'envelope')).toMatchObject({ status: 'fail', code: 'relay_denied' });

    await postfix.configure(ALLOWED);
    expect(await service.settled(body.id)).toMatchObject({ status: 'sent' });
    expect((await doctorOf(postfix)).ok).toBe(true);
  });

  test.each([
    ['at EHLO', { smtpd_delay_reject: 'no' }, 'ehlo'],
    ['at RCPT', {}, 'envelope'],
  ] as const)(
    'pauses the account with ehlo_refused if it refuses the name %s',
    async (_stage, delay, check) => {
      const env = { SMTP_EHLO_NAME: '[127.0.0.1]' };
      // A table, since an address literal passes the other restrictions.
      await using postfix = await startPostfix({
        ...HELO_CHECKS,
        ...delay,
        smtpd_helo_restrictions:
          'check_helo_access inline:{{[127.0.0.1] = 504 5.5.2 need fully-qualified hostname}}',
      });
      await using service = await serviceOf(postfix, env);
      const { body } = await service.send(HELLO, { wait: 30 });
      expect(body).toMatchObject({ status: 'deferred', error: { code: 'ehlo_refused', scope: 'account' } });
      expect(await accountsOf(service)).toMatchObject([
        { status: 'paused', code: 'ehlo_refused', hint: expect.stringContaining('SMTP_EHLO_NAME') },
      ]);
      const report = await doctorOf(postfix, env);
      expect(checkOf(report, check)).toMatchObject({ status: 'fail', code: 'ehlo_refused' });
      expect((await doctorOf(postfix)).ok).toBe(true);
    },
  );

  test('pauses the account with ehlo_refused if the name does not resolve', async () => {
    await using postfix = await startPostfix({
      ...ALLOWED,
      smtpd_helo_restrictions: 'reject_unknown_helo_hostname',
    });
    await using service = await serviceOf(postfix, { SMTP_EHLO_NAME: 'no-such-name.invalid' });
    const { body } = await service.send(HELLO, { wait: 30 });
    expect(body).toMatchObject({ status: 'deferred', error: { code: 'ehlo_refused' } });
  });

  test('names login=none if it requires a login', async () => {
    await using postfix = await startPostfix({
      ...ALLOWED,
      smtpd_client_restrictions:
        'check_client_access inline:{{127.0.0.1 = 530 5.7.0 Authentication required}}',
    });
    await using service = await serviceOf(postfix);
    const { body } = await service.send(HELLO, { wait: 30 });
    expect(body).toMatchObject({
      status: 'deferred',
      error: { code: 'bad_credentials', hint: expect.stringContaining('SMTP_URL has login=none') },
    });
  });
});
