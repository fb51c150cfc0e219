import { describe, expect, test } from 'vitest';
import { ADA_FAILED, decide, statusOf } from '../helpers/inbound-decision.ts';
import { aReport } from '../helpers/inbound-mail.ts';

describe('ignores a forged report', () => {
  const untrusted = { kind: 'ignored', reason: 'untrusted' };
  const header = (results: string, id = 'mx.google.com') => `Authentication-Results: ${id}; ${results}\n`;
  const pass = 'dmarc=pass header.from=googlemail.com';

  test.each([
    ['without results', ''],
    ['with the results of another server', header(pass, 'mx.evil.example')],
    ['with results of Gmail below those of another server', header(pass, 'mx.evil.example') + header(pass)],
    [
      'whose results of Gmail are below those that failed',
      header('dmarc=fail header.from=googlemail.com') + header(pass),
    ],
    ['that passed for another domain', header('dmarc=pass header.from=evil.example')],
    ['with the result in a comment', header(`spf=pass (${pass}) smtp.mailfrom=evil.example`)],
    ['with two results', header(`${pass}; dmarc=fail header.from=googlemail.com`)],
    ['with a result of another method', header('spf=pass smtp.mailfrom=googlemail.com')],
    ['with invalid results', header(`${pass} (`)],
  ])('in the name of Gmail, %s', async (_name, authentication) => {
    expect(await decide(aReport({ authentication }))).toEqual(untrusted);
  });

  test.each([
    'eve@googlemail.com',
    'mailer-daemon@googlemail.com.evil.example',
    'mailer-daemon@gmail.com',
    'mailer-daemon@googlemail.com, eve@evil.example',
    'mailer-daemon@googlemail.com\nFrom: eve@evil.example',
    '=?utf-8?q?mailer-daemon=40googlemail=2Ecom?=',
  ])('that passes for googlemail.com, from %s', async (from) => {
    expect(await decide(aReport({ from }))).toEqual(untrusted);
  });

  test.each([
    ['of another domain', 'mailer-daemon@evil.example', ''],
    ['of a domain that only ends alike', 'postmaster@badexample.com', ''],
    ['of a user', 'eve@example.com', ''],
    ['that failed DMARC', 'postmaster@example.com', header('dmarc=fail (p=NONE) header.from=example.com')],
    [
      'that passed DMARC for another domain',
      'postmaster@example.com',
      header('dmarc=pass header.from=evil.example'),
    ],
    [
      'that failed SPF',
      'postmaster@example.com',
      header('spf=softfail smtp.helo=mx.example.com; dkim=pass header.d=evil.example'),
    ],
    [
      'with an envelope sender of another domain',
      'postmaster@example.com',
      header('spf=pass smtp.mailfrom=eve@evil.example; dkim=pass header.i=@evil.example'),
    ],
    [
      'whose sender breaks the syntax of the results',
      'postmaster@example.com',
      header('spf=pass (domain of "a(b"@evil.example) smtp.helo=x; dmarc=fail header.from=example.com'),
    ],
  ])('%s', async (_name, from, authentication) => {
    expect(await decide(aReport({ from, authentication }))).toEqual(untrusted);
  });
});

describe("a report of the recipient's server", () => {
  const authentication = '';
  test.each([
    ['without results', 'postmaster@example.com', ''],
    ['below the domain', 'MAILER-DAEMON@mx1.example.com (Mail Delivery System)', ''],
    ['of Exchange', 'MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@example.com', ''],
    [
      'that passed DMARC',
      'postmaster@example.com',
      'Authentication-Results: mx.google.com; dmarc=pass header.from=example.com\n',
    ],
    [
      'that is signed',
      'postmaster@example.com',
      'Authentication-Results: mx.google.com; spf=fail smtp.helo=x; dkim=pass header.i=@mx.example.com\n',
    ],
    [
      'below the domain that signed it',
      'postmaster@mx.example.com',
      'Authentication-Results: mx.google.com; spf=fail smtp.helo=x; dkim=pass header.i=@example.com\n',
    ],
    [
      'checked as the postmaster of its host',
      'postmaster@example.com',
      'Authentication-Results: mx.google.com; spf=pass smtp.mailfrom=postmaster@mx.hoster.example\n',
    ],
    [
      'without DMARC, with an empty envelope sender',
      'postmaster@example.com',
      'Authentication-Results: mx.google.com; spf=pass smtp.mailfrom=; dmarc=none header.from=example.com\n',
    ],
  ])('is believed as unverified (%s)', async (_name, from, results) => {
    expect(await decide(aReport({ from, authentication: results }))).toMatchObject({
      kind: 'bounced',
      unverified: true,
      recipients: [{ email: 'Ada@example.com', suppress: true }],
    });
  });

  test('suppresses on 5.1.1 alone', async () => {
    const status = statusOf(...ADA_FAILED, 'Status: 5.1.10');
    const report = aReport({ status, from: 'postmaster@example.com', authentication });
    expect(await decide(report)).toMatchObject({ recipients: [{ class: 'hard', suppress: false }] });
  });

  test('counts for the recipients of its own domain', async () => {
    const status = statusOf(
      ...ADA_FAILED,
      'Status: 5.1.1',
      '',
      'Final-Recipient: rfc822; bob@example.net',
      'Action: failed',
    );
    const report = aReport({ status, from: 'postmaster@example.com', authentication });
    expect(await decide(report)).toMatchObject({ recipients: [{ email: 'Ada@example.com' }] });
  });
});
