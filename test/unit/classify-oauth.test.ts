import { describe, expect, test } from 'vitest';
import { toMailboxFault } from '../../src/adapters/imap/imap-errors.ts';
import { TokenError } from '../../src/adapters/mail-server/token-request.ts';
import { classify, classifyReply } from '../../src/adapters/smtp/errors/classify.ts';
import type { AttemptProgress } from '../../src/adapters/smtp/errors/nodemailer-errors.ts';
import { parseReply } from '../../src/core/delivery/smtp-reply.ts';
import { ERRORS } from '../../src/core/errors.ts';

const BEFORE: AttemptProgress = { sessionReady: false, bodyStarted: false, bodyEnded: false };
const SHORT_BACKOFF_MS = [5000, 30_000, 120_000, 600_000];

/** Wraps an error of the token callback as nodemailer does. */
function tokenError(originalCode: 'EOAUTH2' | 'EFETCH', message: string): Error {
  return Object.assign(new Error(message), { code: 'EAUTH', originalCode, command: 'AUTH XOAUTH2' });
}

describe('classify with a failed token request', () => {
  test.each([
    ['invalid_grant', 'oauth_grant_revoked'],
    ['invalid_grant: Bad Request', 'oauth_grant_revoked'],
    ['invalid_grant: Token has been expired or revoked.', 'oauth_grant_revoked'],
    [
      'invalid_grant: reauth related error (invalid_rapt) (https://support.google.com/a/answer/9368756)',
      'oauth_grant_revoked',
    ],
    [
      'invalid_grant: Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.',
      'oauth_clock_skew',
    ],
    [
      'invalid_grant: Invalid JWT: Token must be a short-lived token and in a reasonable timeframe',
      'oauth_clock_skew',
    ],
    ['unauthorized_client: Unauthorized client or scope in request.', 'oauth_client_unauthorized'],
    [
      'unauthorized_client: Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.',
      'oauth_client_unauthorized',
    ],
    ['access_denied: Requested client not authorized.', 'oauth_client_unauthorized'],
    ['invalid_client: The OAuth client was not found.', 'oauth_failed'],
    ['deleted_client: The OAuth client was deleted.', 'oauth_failed'],
    ['invalid_scope: Invalid OAuth scope or ID token audience provided.', 'oauth_failed'],
    ['unsupported_grant_type: Invalid grant_type: x', 'oauth_failed'],
    ['No access token', 'oauth_failed'],
    ['', 'oauth_failed'],
  ] as const)('classifies %s as %s', (message, code) => {
    const fault = classify(tokenError('EOAUTH2', message), BEFORE);
    expect(fault).toMatchObject({ scope: 'account', retryable: true, backoffMs: null, certain: true });
    expect(fault.error).toMatchObject({ code, scope: 'account', hint: ERRORS[code].hint, smtp: null });
    expect(fault.error.detail).toContain(message);
  });

  test.each([
    ['invalid_grant: Invalid JWT Signature.', 'GMAIL_SERVICE_ACCOUNT'],
    ['invalid_grant: Invalid grant: account not found', 'GMAIL_SERVICE_ACCOUNT'],
    ['invalid_grant: Invalid email or User ID', 'GMAIL_USER'],
  ])('classifies %s as oauth_failed with a hint about %s, by SMTP and by IMAP', (message, variable) => {
    const { error } = classify(tokenError('EOAUTH2', message), BEFORE);
    expect(error.code).toBe('oauth_failed');
    expect(error.hint).toContain(variable);
    const fault = toMailboxFault(new TokenError('EOAUTH2', message));
    expect(fault).toMatchObject({ code: 'oauth_failed', detail: expect.stringContaining(error.hint) });
  });

  test('classifies an unreachable endpoint as oauth_unreachable, with a shorter back-off than a login', () => {
    const fault = classify(tokenError('EFETCH', 'connect ECONNREFUSED 127.0.0.1:443'), BEFORE);
    expect(fault).toMatchObject({
      error: { code: 'oauth_unreachable' },
      scope: 'account',
      retryable: true,
      backoffMs: SHORT_BACKOFF_MS,
    });
    expect(fault.error.detail).toBe(
      'The token endpoint cannot be reached: connect ECONNREFUSED 127.0.0.1:443.',
    );
  });
});

describe('classifyReply at the access token', () => {
  test.each([
    ['535 5.7.8 Username and Password not accepted. For more information, go to', 'oauth_failed'],
    ['535 5.7.1 Nope.', 'oauth_failed'],
    ['504 5.7.4 Unrecognized Authentication Type.', 'oauth_failed'],
    ['501 5.5.2 Cannot Decode response.', 'oauth_failed'],
    ['550 5.9.9 No.', 'oauth_failed'],
    ['534 5.7.14 Please log in via your web browser and then try again.', 'web_login_required'],
    ['534 5.7.9 Application-specific password required.', 'app_password_required'],
    ['454 4.7.0 Too many login attempts, please try again later.', 'login_throttled'],
    ['421 4.7.0 Try again later, closing connection.', 'throttled'],
    ['421 4.9.9 Bye.', 'smtp_temporary_failure'],
  ] as const)('classifies %s as %s', (reply, code) => {
    const { error, scope, retryable } = classifyReply(parseReply(reply), 'oauth');
    expect({ code: error.code, scope, retryable }).toEqual({ code, scope: 'account', retryable: true });
    if (code === 'oauth_failed') expect(error.hint).toBe(ERRORS.oauth_failed.hint);
  });

  test('distinguishes token and password by the refused command', () => {
    const response = '535 5.7.8 Username and Password not accepted.';
    const refused = (command: string) =>
      classify(Object.assign(new Error('Invalid login'), { code: 'EAUTH', command, response }), BEFORE).error
        .code;
    expect(refused('AUTH XOAUTH2')).toBe('oauth_failed');
    expect(refused('AUTH PLAIN')).toBe('bad_credentials');
  });
});
