import type { ErrorCode } from '../../core/errors.ts';
import { MINUTE } from '../../core/time.ts';
import type { TokenError } from './token-request.ts';

/** Why an account has no access token. */
export interface TokenFailure {
  readonly error: Extract<ErrorCode, `oauth_${string}`>;
  /** Replaces the hint of the code. */
  readonly hint?: string;
  /** Null: that of the code. */
  readonly backoffMs: readonly number[] | null;
  readonly detail: string;
}

type Refusal = Pick<TokenFailure, 'error' | 'hint'>;

/**
 * No fault of the account, and asking again costs no login: the back-off is shorter than
 * after a refusal.
 */
const UNREACHABLE_BACKOFF_MS = [5000, 30_000, 2 * MINUTE, 10 * MINUTE];

/**
 * Errors of Google's token endpoint, as `error: error_description` (RFC 6749, 5.2). The first
 * matching row counts. Sources: Google's "Using OAuth 2.0 for Server to Server Applications"
 * (https://developers.google.com/identity/protocols/oauth2/service-account#error-codes) and
 * "… for Web Server Applications".
 */
const REFUSALS: readonly { readonly match: RegExp; readonly refusal: Refusal }[] = [
  {
    match: /^invalid_grant\b.*(?:\biat\b|\bexp\b|short-lived token|reasonable timeframe)/i,
    refusal: { error: 'oauth_clock_skew' },
  },
  // invalid_grant is also the response to an assertion, and then not about a refresh token.
  {
    match: /^invalid_grant\b.*\bjwt\b/i,
    refusal: {
      error: 'oauth_failed',
      hint: 'Google does not recognize the key in GMAIL_SERVICE_ACCOUNT: create a new key for that service account.',
    },
  },
  {
    match: /^invalid_grant\b.*account not found/i,
    refusal: {
      error: 'oauth_failed',
      hint: 'The service account in GMAIL_SERVICE_ACCOUNT no longer exists: create another one.',
    },
  },
  {
    match: /^invalid_grant\b.*email or user id/i,
    refusal: {
      error: 'oauth_failed',
      hint: 'GMAIL_USER is not a user of the Workspace that the service account may act for.',
    },
  },
  { match: /^invalid_grant\b/i, refusal: { error: 'oauth_grant_revoked' } },
  { match: /^(?:unauthorized_client|access_denied)\b/i, refusal: { error: 'oauth_client_unauthorized' } },
];

/**
 * @param code that of the {@link TokenError}
 * @param message `error: error_description`, as nodemailer joins them
 */
export function explainTokenError(code: TokenError['code'], message: string): TokenFailure {
  if (code === 'EFETCH') {
    const detail = `The token endpoint cannot be reached: ${message}`;
    return { error: 'oauth_unreachable', backoffMs: UNREACHABLE_BACKOFF_MS, detail };
  }
  const refusal: Refusal = REFUSALS.find(({ match }) => match.test(message))?.refusal ?? {
    error: 'oauth_failed',
  };
  return { ...refusal, backoffMs: null, detail: `No access token was issued: ${message}` };
}
