import { createHash, randomBytes } from 'node:crypto';
import type { OAuthClient } from './client-file.ts';
import { LoginError, toLoginError } from './login-error.ts';

/** Full access to mail: the only scope with which Gmail's SMTP server accepts a login. */
export const MAIL_SCOPE = 'https://mail.google.com/';
/** Adds an ID token with the address of the account that consented. */
const IDENTITY_SCOPES = ['openid', 'email'];

/** A request for consent (RFC 6749, 4.1.1), protected by state and PKCE (RFC 7636). */
export interface AuthorizationRequest {
  /** The page to open in a browser. */
  readonly url: string;
  readonly redirectUri: string;
  readonly state: string;
  readonly codeVerifier: string;
}

/**
 * Creates a request for a refresh token. Google issues one to a desktop client only after a new
 * consent, which `prompt=consent` requires.
 *
 * @param user preselected on Google's page
 */
export function createAuthorizationRequest(
  client: OAuthClient,
  user: string,
  redirectUri: string,
): AuthorizationRequest {
  const state = randomBytes(32).toString('base64url');
  const codeVerifier = randomBytes(32).toString('base64url');
  const url = new URL(client.authUrl);
  const parameters = {
    client_id: client.clientId,
    redirect_uri: redirectUri,
    response_type: 'code',
    scope: [MAIL_SCOPE, ...IDENTITY_SCOPES].join(' '),
    state,
    code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
    code_challenge_method: 'S256',
    access_type: 'offline',
    prompt: 'consent',
    login_hint: user,
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return { url: url.href, redirectUri, state, codeVerifier };
}

/** Returns true for the address of a response to some request for consent. */
export function isAuthorizationResponse(address: URL): boolean {
  return ['code', 'error', 'authError'].some((name) => address.searchParams.has(name));
}

/**
 * Returns the code in the address to which Google redirected the browser.
 *
 * @throws {LoginError} if Google or the user refused, or the address belongs to another request
 */
export function readCode({ searchParams }: URL, { state }: AuthorizationRequest): string {
  const pageError = searchParams.get('authError');
  if (pageError !== null) throw toLoginError(readPageError(pageError));
  if (searchParams.get('state') !== state)
    throw new LoginError('consent_state_mismatch', 'the address belongs to another login');
  const error = searchParams.get('error');
  if (error !== null) throw toLoginError(error, searchParams.get('error_description') ?? '');
  return searchParams.get('code') ?? '';
}

/**
 * Returns the name of the error on one of Google's own error pages. Its address contains a protocol
 * buffer in base64, which begins with the name.
 */
function readPageError(authError: string): string {
  const text = Buffer.from(authError, 'base64').toString('latin1');
  return /[a-z]+(?:_[a-z]+)*/.exec(text)?.[0] ?? 'an error on its page';
}
