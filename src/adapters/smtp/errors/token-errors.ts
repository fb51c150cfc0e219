import type { ErrorCode } from '../../../core/errors.ts';
import type { Meaning } from './gmail-replies.ts';

const MINUTE = 60_000;

const meaning = (error: ErrorCode, hint?: string): Meaning => ({
  error,
  scope: 'account',
  retryable: true,
  backoffMs: null,
  ...(hint ? { hint } : {}),
});

/** Nothing is said about the account, and it costs no login to ask again: sooner than after a refusal. */
export const TOKEN_UNREACHABLE: Meaning = {
  ...meaning('oauth_unreachable'),
  backoffMs: [5000, 30_000, 2 * MINUTE, 10 * MINUTE],
};

/**
 * What Google's token endpoint says, as `error: error_description` (RFC 6749, 5.2), the first row that fits. Wordings: Google's "Using OAuth 2.0 for
 * Server to Server Applications" (https://developers.google.com/identity/protocols/oauth2/service-account#error-codes) and "… for Web Server
 * Applications".
 */
const ANSWERS: readonly { readonly match: RegExp; readonly meaning: Meaning }[] = [
  {
    match: /^invalid_grant\b.*(?:\biat\b|\bexp\b|short-lived token|reasonable timeframe)/i,
    meaning: meaning('oauth_clock_skew'),
  },
  // invalid_grant answers an assertion, too, and then speaks of no refresh token.
  {
    match: /^invalid_grant\b.*\bjwt\b/i,
    meaning: meaning(
      'oauth_failed',
      'Google does not know the key in GMAIL_SERVICE_ACCOUNT: make a new one for that service account.',
    ),
  },
  {
    match: /^invalid_grant\b.*account not found/i,
    meaning: meaning(
      'oauth_failed',
      'The service account in GMAIL_SERVICE_ACCOUNT does not exist any more: make another one.',
    ),
  },
  {
    match: /^invalid_grant\b.*email or user id/i,
    meaning: meaning(
      'oauth_failed',
      'GMAIL_USER is not a user of the Workspace that the service account may act for.',
    ),
  },
  { match: /^invalid_grant\b/i, meaning: meaning('oauth_grant_revoked') },
  { match: /^(?:unauthorized_client|access_denied)\b/i, meaning: meaning('oauth_client_unauthorized') },
];

export function toTokenMeaning(answer: string): Meaning {
  return ANSWERS.find(({ match }) => match.test(answer))?.meaning ?? meaning('oauth_failed');
}
