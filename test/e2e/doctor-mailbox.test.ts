import { describe, expect, test, vi } from 'vitest';
import { ERRORS } from '../../src/core/errors.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { checkOf, diagnoseWith, type Setup } from '../helpers/doctor.ts';
import { writesOf } from '../helpers/imap/mailbox.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

/** Runs the doctor, which reads the mailboxes of the simulator. */
function diagnoseMailbox(gmail: Simulator, { env, ...setup }: Partial<Setup> = {}) {
  return diagnoseWith(gmail, { env: { GMAIL_USER: gmail.user, IMAP_URL: gmail.imap.url, ...env }, ...setup });
}

describe.concurrent('the IMAP line of the doctor', () => {
  test('passes with one login, and changes nothing', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseMailbox(gmail);
    expect(checkOf(report, 'imap')).toMatchObject({ status: 'pass', target: gmail.user });
    expect(gmail.imap.counters).toMatchObject({ logins: 1, failedLogins: 0 });
    expect(writesOf(gmail)).toEqual([]);
  });

  test.each([
    ['imap-off-by-admin', 'imap_disabled'],
    ['bad-credentials', 'imap_login_refused'],
    ['too-many-connections', 'imap_unavailable'],
  ] as const)('warns of %s, with its fix, and mail can be sent', async (fault, code) => {
    await using gmail = await startSimulator();
    gmail.imap.setLoginFault(fault);
    const report = await diagnoseMailbox(gmail);
    expect(checkOf(report, 'imap')).toMatchObject({ status: 'warn', code, advice: ERRORS[code].hint });
    expect(report.ok).toBe(true);
  });

  test('warns of a server that does not respond', async () => {
    await using gmail = await startSimulator();
    await gmail.blockPort('imap', 'silent');
    const report = await diagnoseMailbox(gmail, { network: { limitMs: 500 } });
    expect(checkOf(report, 'imap')).toMatchObject({ status: 'warn', code: 'imap_unavailable' });
    expect(report.ok).toBe(true);
  });

  test('is not tried if the login by SMTP was refused', async () => {
    await using gmail = await startSimulator();
    const report = await diagnoseMailbox(gmail, { env: { GMAIL_APP_PASSWORD: 'wrongwrongwrongw' } });
    expect(checkOf(report, 'imap')).toMatchObject({
      status: 'skip',
      detail: expect.stringMatching(/login was refused/),
    });
    expect(gmail.imap.counters.connections).toBe(0);
  });

  test.each([
    ['nothing is read from mailboxes', { RECONCILE: 'off' }, /RECONCILE and INBOUND are off/],
    ['the account has no mailbox', { IMAP_URL: undefined }, /cannot read a mailbox/],
    ['IMAP_URL is invalid', { IMAP_URL: 'imap.gmail.com' }, /cannot read a mailbox/],
  ])('is not tried if %s', async (_, env, detail) => {
    await using gmail = await startSimulator();
    const report = await diagnoseMailbox(gmail, { env });
    expect(checkOf(report, 'imap')).toMatchObject({ status: 'skip', detail: expect.stringMatching(detail) });
    expect(gmail.imap.counters.connections).toBe(0);
  });
});

describe.concurrent('a test message to the account itself', () => {
  test.each([
    [null, { status: 'pass', detail: 'signed by simulator.test' }],
    ['simulator-test.20230601.gappssmtp.com', { status: 'warn', code: 'dkim_not_started' }],
  ])('shows who signed it, with the signer %s', async (signingDomain, result) => {
    await using gmail = await startSimulator();
    gmail.imap.configure({ signingDomain });
    const report = await diagnoseMailbox(gmail, { sendTo: gmail.user });
    expect(checkOf(report, 'copy_signature')).toMatchObject(result);
    expect(checkOf(report, 'copy_from')).toMatchObject({ status: 'pass' });
    expect(writesOf(gmail)).toEqual([]);
  });

  const ALIAS = 'sales@simulator.test';

  /** Sends it to an alias, and puts the copy into INBOX that `copyOf` returns. */
  async function sendToSelf(gmail: Simulator, copyOf: (raw: string) => string | null, env = {}) {
    const report = diagnoseMailbox(gmail, {
      sendTo: ALIAS,
      network: { limitMs: 1500 },
      env: { GMAIL_ALIASES: ALIAS, ...env },
    });
    await vi.waitFor(() => expect(gmail.messages).toHaveLength(1), 10_000);
    const copy = copyOf(gmail.messages[0]?.raw ?? '');
    if (copy !== null) gmail.imap.deliver(copy);
    return report;
  }

  const signedBy =
    (...domains: string[]) =>
    (raw: string) =>
      domains
        .map((domain) => `DKIM-Signature: v=1; a=rsa-sha256;\r\n d=${domain}; s=20230601;\r\n`)
        .join('') + raw;

  test.each([
    ['its own domain', ['simulator.test'], { status: 'pass', detail: 'signed by simulator.test' }],
    [
      'the domain of unsigned Workspaces',
      ['simulator-test.20230601.gappssmtp.com'],
      { status: 'warn', code: 'dkim_not_started', advice: /Start authentication/ },
    ],
    ['both', ['x.gappssmtp.com', 'simulator.test'], { status: 'pass', detail: 'signed by simulator.test' }],
    ['another domain', ['gmail.com'], { status: 'warn', code: 'dmarc_unaligned' }],
    ['none', [], { status: 'skip', detail: /no DKIM signature/ }],
  ])('shows a signature by %s', async (_, domains, result) => {
    await using gmail = await startSimulator();
    const report = await sendToSelf(gmail, signedBy(...domains));
    expect(checkOf(report, 'copy_signature')).toMatchObject(toMatchers(result));
    expect(checkOf(report, 'copy_from')).toMatchObject({ status: 'pass' });
    expect(writesOf(gmail)).toEqual([]);
  });

  test('shows that From was replaced', async () => {
    await using gmail = await startSimulator();
    const report = await sendToSelf(
      gmail,
      (raw) => raw.replace(/^From: .*$/m, `From: Acme <${gmail.user}>`),
      { GMAIL_FROM: 'Acme <news@acme.test>', GMAIL_ALIASES: `${ALIAS},news@acme.test` },
    );
    expect(checkOf(report, 'copy_from')).toMatchObject({
      status: 'warn',
      code: 'from_replaced',
      detail: `sent as news@acme.test, received as ${gmail.user}`,
    });
    expect(report.ok).toBe(true);
  });

  test('is read from Sent Mail if it does not arrive', async () => {
    await using gmail = await startSimulator();
    const report = await sendToSelf(gmail, () => null);
    expect(checkOf(report, 'copy_signature')).toMatchObject({ status: 'skip' });
    expect(checkOf(report, 'copy_from')).toMatchObject({ status: 'pass' });
  });

  test('is unknown if there is no copy at all', async () => {
    await using gmail = await startSimulator();
    gmail.imap.configure({ filingDelayMs: 3_600_000 });
    const report = await sendToSelf(gmail, () => null);
    for (const id of ['copy_signature', 'copy_from'])
      expect(checkOf(report, id)).toMatchObject({
        status: 'skip',
        detail: expect.stringMatching(/^unknown/),
      });
    expect(report.ok).toBe(true);
  });

  test('to another address is not read back', async () => {
    await using gmail = await startSimulator();
    const { checks } = await diagnoseMailbox(gmail, { sendTo: 'ada@example.com' });
    expect(checks.filter(({ id }) => id.startsWith('copy_'))).toEqual([]);
    expect(gmail.messages).toHaveLength(1);
  });
});

function toMatchers(result: object): object {
  return Object.fromEntries(
    Object.entries(result).map(([key, value]) => [
      key,
      value instanceof RegExp ? expect.stringMatching(value) : value,
    ]),
  );
}
