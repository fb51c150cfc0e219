import type { ErrorCode } from '../../../core/errors.ts';
import { MINUTE } from '../../../core/time.ts';
import type { Classification } from './gmail-replies.ts';

const accountFault = (error: ErrorCode, hint?: string): Classification => ({
  error,
  scope: 'account',
  retryable: true,
  backoffMs: null,
  ...(hint ? { hint } : {}),
});

/**
 * Says nothing about the account, and asking again costs no login: the back-off is shorter than
 * after a refusal.
 */
export const TOKEN_ENDPOINT_UNREACHABLE: Classification = {
  ...accountFault('oauth_unreachable'),
  backoffMs: [5000, 30_000, 2 * MINUTE, 10 * MINUTE],
};

/**
 * Errors of Google's token endpoint, as `error: error_description` (RFC 6749, 5.2). The first
 * matching row counts. Sources: Google's "Using OAuth 2.0 for Server to Server Applications"
 * (https://developers.google.com/identity/protocols/oauth2/service-account#error-codes) and
 * "… for Web Server Applications".
 */
const TOKEN_ERRORS: readonly { readonly match: RegExp; readonly classification: Classification }[] = [
  {
    match: /^invalid_grant\b.*(?:\biat\b|\bexp\b|short-lived token|reasonable timeframe)/i,
    classification: accountFault('oauth_clock_skew'),
  },
  // invalid_grant is also the response to an assertion, and then not about a refresh token.
  {
    match: /^invalid_grant\b.*\bjwt\b/i,
    classification: accountFault(
      'oauth_failed',
      'Google does not recognize the key in GMAIL_SERVICE_ACCOUNT: create a new key for that service account.',
    ),
  },
  {
    match: /^invalid_grant\b.*account not found/i,
    classification: accountFault(
      'oauth_failed',
      'The service account in GMAIL_SERVICE_ACCOUNT no longer exists: create another one.',
    ),
  },
  {
    match: /^invalid_grant\b.*email or user id/i,
    classification: accountFault(
      'oauth_failed',
      'GMAIL_USER is not a user of the Workspace that the service account may act for.',
    ),
  },
  { match: /^invalid_grant\b/i, classification: accountFault('oauth_grant_revoked') },
  {
    match: /^(?:unauthorized_client|access_denied)\b/i,
    classification: accountFault('oauth_client_unauthorized'),
  },
];

/** @param message `error: error_description`, as nodemailer joins them */
export function classifyTokenError(message: string): Classification {
  return (
    TOKEN_ERRORS.find(({ match }) => match.test(message))?.classification ?? accountFault('oauth_failed')
  );
}
