import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { classify, classifyReply, type Stage } from '../../src/adapters/smtp/errors/classify.ts';
import type { AttemptProgress } from '../../src/adapters/smtp/errors/nodemailer-errors.ts';
import { parseReply } from '../../src/core/delivery/smtp-reply.ts';
import { ERRORS } from '../../src/core/errors.ts';
import facts from '../fixtures/gmail-replies.json' with { type: 'json' };

const BEFORE: AttemptProgress = { sessionReady: false, bodyStarted: false, bodyEnded: false };
const AFTER_DOT: AttemptProgress = { sessionReady: true, bodyStarted: true, bodyEnded: true };

/**
 * Formats a text as Gmail does: wrapped anywhere, with the codes on each line and a session id at
 * the end.
 */
function toReply(code: number, enhanced: string, text: string): string {
  const lines = `${text} 4-2002 - gsmtp`.match(/.{1,48}(?:\s|$)|\S+\s?/g) ?? [];
  return lines
    .map((line, index) => `${code}${index < lines.length - 1 ? '-' : ' '}${enhanced} ${line.trimEnd()}`)
    .join('\n');
}

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };

function toMs(duration: string): number {
  return Number.parseInt(duration, 10) * (UNITS[duration.slice(-1)] ?? Number.NaN);
}

describe('classifyReply with a known reply of Gmail', () => {
  const rows = facts.flatMap(({ texts, ...row }) => texts.map((text) => ({ ...row, text })));

  test.each(rows)('$code $enhanced at $stage: $text', ({ code, enhanced, stage, text, expected }) => {
    const reply = parseReply(toReply(code, enhanced, text));
    const fault = classifyReply(reply, stage as Stage);
    expect({
      error: fault.error.code,
      scope: fault.scope,
      retryable: fault.retryable,
      splits: fault.splits ?? false,
    }).toEqual({
      error: expected.error,
      scope: expected.scope,
      retryable: expected.retryable,
      splits: expected.splits ?? false,
    });
    // "0s" is a first retry at once, followed by the usual back-off. The daily limit is probed
    // hourly, although it may last 24 h.
    const waits = expected.backoff?.split(',').map(toMs) ?? null;
    if (expected.error === 'daily_limit_reached') expect(fault.backoffMs).toEqual([toMs('1h')]);
    else if (waits?.[0] === 0) expect(fault.backoffMs?.[0]).toBe(0);
    else expect(fault.backoffMs).toEqual(waits);
    expect(fault.certain).toBe(true);
    expect(fault.error.smtp).toEqual(reply);
    expect(fault.error.hint).not.toBe('');
  });

  test('recognizes the text if Google moves it to another enhanced code', () => {
    const classified = (reply: string, stage: Stage) => classifyReply(parseReply(reply), stage).error.code;
    expect(classified('534 5.7.99 Application-specific password required.', 'auth')).toBe(
      'app_password_required',
    );
    expect(classified('550 5.7.99 Daily user sending limit exceeded.', 'message')).toBe(
      'daily_limit_reached',
    );
    expect(classified("552 Your message exceeded Google's message size limits.", 'message')).toBe(
      'message_too_large',
    );
  });

  test('recognizes the codes if Google changes the text', () => {
    const classified = (reply: string, stage: Stage) => classifyReply(parseReply(reply), stage);
    expect(classified('534 5.7.14 Kindly use a browser.', 'auth').error.code).toBe('web_login_required');
    expect(classified('535 5.7.8 Nope.', 'auth').error.code).toBe('bad_credentials');
    expect(classified('550 5.4.5 Enough for today.', 'message')).toMatchObject({
      error: { code: 'daily_limit_reached' },
      scope: 'account',
    });
    expect(classified('452 4.2.2 Full.', 'rcpt')).toMatchObject({
      error: { code: 'mailbox_full' },
      retryable: true,
    });
    expect(classified('552 5.2.2 Full.', 'rcpt')).toMatchObject({
      error: { code: 'mailbox_full' },
      retryable: false,
    });
    expect(classified('552 5.3.4 Big.', 'message').error.code).toBe('message_too_large');
    expect(classified('552 5.7.0 Bad file.', 'message').error.code).toBe('attachment_blocked');
  });
});

test('removes the token in Gmail’s sign-in URL from the fault', () => {
  const response =
    '534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1&plt=AKgTOK\n534-5.7.14 EN> Please log in via your web browser.';
  const error = Object.assign(new Error(`Invalid login: ${response}`), {
    code: 'EAUTH',
    command: 'AUTH PLAIN',
    response,
    responseCode: 534,
  });
  const fault = classify(error, BEFORE);
  expect(fault.error.code).toBe('web_login_required');
  expect(fault.error.detail).toContain('https://accounts.google.com/[redacted]');
  expect(JSON.stringify(fault)).not.toContain('AKg');
});

describe('classifyReply with a refusal to relay', () => {
  test.each([
    '554 5.7.1 <ada@example.com>: Relay access denied',
    '454 4.7.1 <ada@example.com>: Relay access denied',
    '554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied',
    '550 relay not permitted',
    '550 5.7.1 Relaying denied',
    '550 5.7.1 ada@example.com... Relaying denied. IP name lookup failed [192.0.2.1]',
    '550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain',
  ])('pauses the account at RCPT: %s', (reply) => {
    expect(classifyReply(parseReply(reply), 'rcpt')).toMatchObject({
      error: { code: 'relay_denied', scope: 'account' },
      scope: 'account',
      retryable: true,
    });
  });

  test.each([
    ['550-5.7.1 Invalid credentials for relay [192.0.2.1]. The IP address', '192.0.2.1'],
    ['550-5.7.0 Mail relay denied [2001:db8::25]. Invalid credentials', '2001:db8::25'],
    ['550 5.7.1 Invalid credentials for relay 192.0.2.1.', '192.0.2.1'],
  ])('names the address to allow: %s', (reply, address) => {
    expect(classifyReply(parseReply(reply), 'mail').error.hint).toContain(
      `Add the IP address ${address} to the allowed addresses`,
    );
  });

  test('names no address if the reply has none', () => {
    const { hint } = classifyReply(parseReply('550 5.7.0 Mail relay denied.'), 'mail').error;
    expect(hint).toBe(ERRORS.relay_denied.hint);
  });
});

describe('classifyReply with a refusal of EHLO', () => {
  test.each([
    ['504 5.5.2 <crm>: Helo command rejected: need fully-qualified hostname', 'session'],
    ['450 4.7.1 <crm.test>: Helo command rejected: Host not found', 'rcpt'],
    ['501 Syntactically invalid EHLO argument(s)', 'session'],
    ['501 5.5.4 Invalid domain name in EHLO', 'session'],
    ['421 4.7.0 Try again later, closing connection. (EHLO)', 'session'],
  ] as const)('pauses the account: %s at %s', (reply, stage) => {
    expect(classifyReply(parseReply(reply), stage)).toMatchObject({
      error: { code: 'ehlo_refused', hint: expect.stringContaining('SMTP_EHLO_NAME') },
      scope: 'account',
      retryable: true,
    });
  });
});

describe('classifyReply with an unknown reply', () => {
  const classified = (reply: string, stage: Stage) => {
    const { error, scope, retryable, backoffMs } = classifyReply(parseReply(reply), stage);
    return { code: error.code, scope, retryable, backoffMs };
  };

  test.each([
    ['451 4.9.9 Hm.', 'message', 'smtp_temporary_failure', 'message', true],
    ['451 Hm.', 'rcpt', 'smtp_temporary_failure', 'recipient', true],
    ['421 4.9.9 Bye.', 'data', 'smtp_temporary_failure', 'connection', true],
    ['421 4.9.9 Bye.', 'session', 'smtp_temporary_failure', 'connection', true],
    ['454 4.9.9 Hm.', 'auth', 'smtp_temporary_failure', 'account', true],
    ['550 5.9.9 No.', 'rcpt', 'recipients_rejected', 'recipient', false],
    ['550 5.7.1 No thanks.', 'rcpt', 'recipients_rejected', 'recipient', false],
    ['550 5.1.8 No such sender.', 'mail', 'sender_rejected', 'message', false],
    ['553 Mailbox name not allowed.', 'mail', 'sender_rejected', 'message', false],
    ['550 5.7.1 Not your From.', 'mail', 'sender_rejected', 'message', false],
    ['550 5.9.9 No.', 'mail', 'smtp_rejected', 'message', false],
    ['550 5.9.9 No.', 'data', 'smtp_rejected', 'message', false],
    ['554 No.', 'message', 'smtp_rejected', 'message', false],
    ['552 No.', 'message', 'message_too_large', 'message', false],
    ['554 5.6.1 No.', 'message', 'content_rejected', 'message', false],
    [
      '550 5.7.26 This mail has been blocked because the sender is unauthenticated.',
      'message',
      'policy_rejected',
      'message',
      false,
    ],
    [
      '550 5.7.1 likely suspicious due to the very low reputation of the sending domain',
      'message',
      'policy_rejected',
      'message',
      false,
    ],
    ['502 5.5.1 Unrecognized command.', 'auth', 'bad_credentials', 'account', true],
    ['503 5.5.1 Not now.', 'auth', 'smtp_temporary_failure', 'account', true],
    ['503 5.5.1 Not now.', 'data', 'smtp_protocol_error', 'connection', true],
    ['554 5.7.1 No service for you.', 'session', 'connect_failed', 'connection', true],
    ['502 5.5.1 Unrecognized command.', 'starttls', 'tls_failed', 'account', true],
    ['421 4.3.0 Bye.', 'starttls', 'smtp_temporary_failure', 'connection', true],
  ] as const)('classifies %s at %s as %s', (reply, stage, code, scope, retryable) => {
    expect(classified(reply, stage)).toEqual({ code, scope, retryable, backoffMs: null });
  });

  const replies = fc.record({
    code: fc.integer({ min: 400, max: 599 }),
    enhanced: fc.option(
      fc.constantFrom('4.7.0', '4.2.1', '5.1.1', '5.4.5', '5.5.1', '5.7.0', '5.7.1', '5.7.14'),
    ),
    response: fc.oneof(fc.string(), fc.constantFrom(...facts.flatMap(({ texts }) => texts))),
  });

  test('never blames a message before MAIL', () => {
    fc.assert(
      fc.property(replies, fc.constantFrom<Stage[]>('session', 'starttls', 'auth'), (reply, stage) => {
        const { scope, retryable } = classifyReply(reply, stage);
        expect(['connection', 'account']).toContain(scope);
        expect(retryable).toBe(true);
      }),
    );
  });

  test('always returns a certain fault with a consistent scope', () => {
    fc.assert(
      fc.property(replies, fc.constantFrom<Stage[]>('mail', 'rcpt', 'data', 'message'), (reply, stage) => {
        const { error, scope, retryable, certain } = classifyReply(reply, stage);
        // A fault of the account or of the connection never fails a message.
        if (scope === 'account' || scope === 'connection') expect(retryable).toBe(true);
        if (ERRORS[error.code].scope === 'account') expect(scope).toBe('account');
        if (stage === 'rcpt') expect(scope).not.toBe('message');
        expect(certain).toBe(true);
      }),
    );
  });
});

describe('classify with errors that the test servers cannot cause', () => {
  const socketError = (originalCode: string) =>
    Object.assign(new Error('failed'), { code: 'ESOCKET', originalCode, command: 'CONN' });

  test.each([
    'CERT_HAS_EXPIRED',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'ERR_SSL_NO_PROTOCOLS_AVAILABLE',
  ])('classifies %s as tls_failed', (code) =>
    expect(classify(socketError(code), BEFORE)).toMatchObject({
      error: { code: 'tls_failed' },
      scope: 'account',
    }),
  );

  test.each(['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'EMFILE'])(
    'classifies %s as connect_failed',
    (code) =>
      expect(classify(socketError(code), BEFORE)).toMatchObject({
        error: { code: 'connect_failed' },
        scope: 'connection',
      }),
  );

  test('classifies ETIMEDOUT of the system as connect_timeout, even if IPv6 is unreachable', () => {
    expect(classify(socketError('ETIMEDOUT'), BEFORE).error.code).toBe('connect_timeout');
    const parts = [socketError('ENETUNREACH'), socketError('ETIMEDOUT')];
    expect(classify(Object.assign(new AggregateError(parts), { code: 'ESOCKET' }), BEFORE).error.code).toBe(
      'connect_timeout',
    );
  });

  test('classifies a corrupt TLS record during the session as connection_lost', () => {
    const error = socketError('ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC');
    expect(classify(error, AFTER_DOT)).toMatchObject({
      error: { code: 'connection_lost' },
      scope: 'connection',
      certain: false,
    });
  });

  test('classifies a TLS handshake that ends without an error as connection_lost', () => {
    const error = Object.assign(new Error('Connection closed unexpectedly'), {
      code: 'ETLS',
      command: 'CONN',
    });
    expect(classify(error, BEFORE)).toMatchObject({
      error: { code: 'connection_lost' },
      scope: 'connection',
    });
  });

  test('classifies a TLS configuration error as tls_failed', () => {
    const error = Object.assign(new Error('Error initiating TLS - no start line'), {
      code: 'ETLS',
      command: 'STARTTLS',
    });
    expect(classify(error, BEFORE)).toMatchObject({ error: { code: 'tls_failed' }, scope: 'account' });
  });

  test.each([
    new TypeError('x is not a function'),
    Object.assign(new Error('File access rejected for /etc/passwd'), {
      code: 'ESTREAM',
      originalCode: 'EFILEACCESS',
      command: 'API',
    }),
    Object.assign(new Error('No recipients defined'), { code: 'EENVELOPE', command: 'API' }),
    'a string',
    null,
    undefined,
  ])('classifies the internal error %o as internal_error of the message, without a retry', (error) => {
    expect(classify(error, BEFORE)).toMatchObject({
      error: { code: 'internal_error', smtp: null },
      scope: 'message',
      retryable: false,
    });
  });

  test('classifies whatever is thrown, as certain unless the dot was sent and no refusal read', () => {
    const text = fc.option(fc.string(), { nil: undefined });
    const errors = fc.record({
      message: text,
      code: fc.constantFrom(
        'ECONNECTION',
        'ESOCKET',
        'ETIMEDOUT',
        'EAUTH',
        'ETLS',
        'EPROTOCOL',
        'EABORT',
        undefined,
      ),
      originalCode: fc.constantFrom('ECONNRESET', 'ETIMEDOUT', 'ERR_SSL_WRONG_VERSION_NUMBER', undefined),
      response: fc.oneof(text, fc.constantFrom('250 OK', '354 Go', '450 4.2.1 Later', '550 5.1.1 No')),
      command: fc.constantFrom('CONN', 'STARTTLS', 'AUTH PLAIN', undefined),
    });
    fc.assert(
      fc.property(errors, fc.boolean(), (error, bodyEnded) => {
        const fault = classify(error, { ...AFTER_DOT, bodyEnded });
        expect(fault.certain).toBe(!bodyEnded || (fault.error.smtp?.code ?? 0) >= 400);
        expect(ERRORS).toHaveProperty(fault.error.code);
      }),
    );
  });
});
