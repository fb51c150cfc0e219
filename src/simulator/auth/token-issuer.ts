/**
 * Google's token endpoint: issues access tokens for a refresh token, or for the signed assertion of
 * a service account. Does not check consent.
 */
import { randomBytes } from 'node:crypto';
import { SCOPE, userOfAssertion } from './service-account.ts';
import { createRefusal, TOKEN_REFUSALS, type TokenFault } from './token-refusals.ts';

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
export const CLIENT_ID = '1234567890-simulator.apps.googleusercontent.com';
export const CLIENT_SECRET = 'GOCSPX-simulator-client-secret';
export const REFRESH_TOKEN = '1//0simulator-refresh-token';

/** Issues access tokens and records the user and the expiry of each. */
export class TokenIssuer {
  /** Every request fails with this fault; null issues tokens. */
  fault: TokenFault | null = null;
  /** Lifetime of new tokens, in seconds. */
  lifetimeS = 3600;
  /** Number of token requests so far. */
  requests = 0;
  readonly #user: string;
  readonly #tokens = new Map<string, { readonly user: string; readonly endsAt: number }>();

  /** @param user the user of the refresh token */
  constructor(user: string) {
    this.#user = user;
  }

  /** Returns true if the token is valid for this user. */
  accepts(user: string, token: string): boolean {
    const issued = this.#tokens.get(token);
    return issued !== undefined && issued.user === user.toLowerCase() && performance.now() < issued.endsAt;
  }

  /** Invalidates every token issued so far. */
  revoke(): void {
    this.#tokens.clear();
  }

  /**
   * Handles a token request.
   *
   * @param url to which the request was sent
   * @returns the body of the response
   * @throws {TokenRefusal} with Google's response
   */
  issue(form: Readonly<Record<string, unknown>>, url: string) {
    this.requests += 1;
    if (this.fault) throw TOKEN_REFUSALS[this.fault]();
    const user = this.#userOfGrant(form, url);
    const token = `ya29.${randomBytes(32).toString('base64url')}`;
    this.#tokens.set(token, { user: user.toLowerCase(), endsAt: performance.now() + this.lifetimeS * 1000 });
    return { access_token: token, expires_in: this.lifetimeS, scope: SCOPE, token_type: 'Bearer' };
  }

  /** Checks the grant and returns the user that it authorizes. */
  #userOfGrant(
    { grant_type, client_id, client_secret, refresh_token, assertion }: Readonly<Record<string, unknown>>,
    url: string,
  ): string {
    if (grant_type === JWT_BEARER) return userOfAssertion(String(assertion), url);
    if (grant_type !== 'refresh_token')
      throw createRefusal(400, 'unsupported_grant_type', `Invalid grant_type: ${grant_type}`);
    if (client_id !== CLIENT_ID)
      throw createRefusal(401, 'invalid_client', 'The OAuth client was not found.');
    if (client_secret !== CLIENT_SECRET) throw createRefusal(401, 'invalid_client', 'Unauthorized');
    if (refresh_token !== REFRESH_TOKEN) throw createRefusal(400, 'invalid_grant', 'Bad Request');
    return this.#user;
  }
}
