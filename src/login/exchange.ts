import { z } from 'zod';
import { postForm, TokenError } from '../adapters/mail-server/token-request.ts';
import { SECOND } from '../core/time.ts';
import { type AuthorizationRequest, MAIL_SCOPE } from './authorization.ts';
import type { OAuthClient } from './client-file.ts';
import { LoginError, toLoginError } from './login-error.ts';

/** What Google issued for a consent. */
export interface IssuedGrant {
  readonly refreshToken: string;
  /** When the refresh token ends; null if it has no fixed end. */
  readonly endsAt: number | null;
}

const tokenResponse = z.object({
  error: z.string().optional(),
  error_description: z.string().optional(),
  refresh_token: z.string().optional(),
  refresh_token_expires_in: z.number().optional(),
  /** Absent if every requested scope was granted (RFC 6749, 5.1). */
  scope: z.string().default(MAIL_SCOPE),
  id_token: z.string().optional(),
});

const TIMEOUT_MS = 10_000;

/**
 * Exchanges the code for a refresh token. Checks that the expected account consented, and to access
 * to mail.
 *
 * @throws {LoginError} if Google refuses, or the consent is not the expected one
 */
export async function exchangeCode(
  client: OAuthClient,
  request: AuthorizationRequest,
  code: string,
  user: string,
): Promise<IssuedGrant> {
  const form = {
    grant_type: 'authorization_code',
    code,
    redirect_uri: request.redirectUri,
    code_verifier: request.codeVerifier,
    client_id: client.clientId,
    client_secret: client.clientSecret,
  };
  const response = await requestTokens(client.tokenUrl, form);
  if (response.error !== undefined) {
    const { message } = TokenError.from(new Error(response.error_description ?? ''), [
      code,
      client.clientSecret,
      request.codeVerifier,
    ]);
    throw toLoginError(response.error, message);
  }
  const account = readAccount(response.id_token);
  if (account !== null && toGoogleAccount(account) !== toGoogleAccount(user))
    throw new LoginError('consent_other_account', `${account} consented, not ${user}`);
  if (!response.scope.split(' ').includes(MAIL_SCOPE))
    throw new LoginError('consent_scope_missing', `${user} did not grant ${MAIL_SCOPE}`);
  if (response.refresh_token === undefined)
    throw new LoginError('consent_no_refresh_token', 'Google issued no refresh token');
  const { refresh_token: refreshToken, refresh_token_expires_in: lifetimeS } = response;
  return { refreshToken, endsAt: lifetimeS === undefined ? null : Date.now() + lifetimeS * SECOND };
}

async function requestTokens(url: string, form: Record<string, string>) {
  try {
    const body = await postForm(url, form, TIMEOUT_MS);
    return tokenResponse.parse(JSON.parse(body.toString()));
  } catch (error) {
    if (error instanceof TokenError)
      throw new LoginError(error.code === 'EFETCH' ? 'oauth_unreachable' : 'oauth_failed', error.message);
    if (error instanceof z.ZodError)
      throw new LoginError('oauth_failed', 'the response is not that of a token endpoint');
    throw error;
  }
}

const claims = z.object({ email: z.string() });

/**
 * Returns the address in an ID token; null if there is none. Does not check the signature: the
 * token came from Google over TLS (OpenID Connect Core, 3.1.3.7).
 */
function readAccount(idToken: string | undefined): string | null {
  const payload = idToken?.split('.')[1] ?? '';
  try {
    return claims.parse(JSON.parse(Buffer.from(payload, 'base64url').toString())).email;
  } catch {
    return null;
  }
}

/** Returns a key that is equal for addresses of one account: gmail.com ignores dots. */
function toGoogleAccount(email: string): string {
  const [, local = '', domain = ''] = /^(.*)@(.*)$/.exec(email.toLowerCase()) ?? [];
  return /^(?:gmail|googlemail)\.com$/.test(domain)
    ? `${local.replaceAll('.', '')}@gmail.com`
    : `${local}@${domain}`;
}
