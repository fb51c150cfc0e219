/**
 * Google's token endpoint: issues tokens for an authorization code, for a refresh token, or for the
 * signed assertion of a service account.
 */
import { randomBytes } from 'node:crypto';
import { AuthorizationCodes } from './authorization-codes.ts';
import { authenticateClient, DESKTOP_CLIENT, type OAuthClient } from './clients.ts';
import { createIdToken } from './id-token.ts';
import { SCOPE, userOfAssertion } from './service-account.ts';
import { createRefusal, TOKEN_REFUSALS, type TokenFault } from './token-refusals.ts';

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
export const REFRESH_TOKEN = '1//0simulator-refresh-token';

/** What goes wrong with consent, beyond what the client or the user does. */
export const CONSENT_FAULTS = [
  'not_a_test_user',
  'admin_policy_enforced',
  'org_internal',
  'testing',
  'no_refresh_token',
] as const;
export type ConsentFault = (typeof CONSENT_FAULTS)[number];

/** Lifetime of a refresh token while the consent screen is in Testing, in seconds. */
const TESTING_LIFETIME_S = 7 * 24 * 3600 - 1;

type Form = Readonly<Record<string, unknown>>;

/** Who may use a token, for what. */
interface Grant {
  readonly user: string;
  readonly clientId: string;
  readonly scopes: readonly string[];
}

/** Issues tokens, and records the user, the scopes and the expiry of each. */
export class TokenIssuer {
  /** Every token request fails with this fault; null issues tokens. */
  fault: TokenFault | null = null;
  /** Applies to the consent page and to the tokens of new consents; null for none. */
  consentFault: ConsentFault | null = null;
  /** Lifetime of new access tokens, in seconds. */
  lifetimeS = 3600;
  /** Number of token requests so far. */
  requests = 0;
  readonly codes = new AuthorizationCodes();
  readonly #accessTokens = new Map<string, Grant & { readonly endsAt: number }>();
  readonly #refreshTokens: Map<string, Grant>;

  /** @param user the user of the predefined refresh token */
  constructor(user: string) {
    const grant = { user, clientId: DESKTOP_CLIENT.id, scopes: [SCOPE] };
    this.#refreshTokens = new Map([[REFRESH_TOKEN, grant]]);
  }

  /** Returns true if the token is valid for this user, and for mail. */
  accepts(user: string, token: string): boolean {
    const grant = this.#findGrant(token);
    return grant?.user.toLowerCase() === user.toLowerCase() && grant.scopes.includes(SCOPE);
  }

  /** Returns what Google's tokeninfo endpoint does; null if the token is not valid. */
  describe(token: string) {
    const grant = this.#findGrant(token);
    if (!grant) return null;
    const { user, clientId, scopes, endsAt } = grant;
    const lifetimeS = Math.ceil((endsAt - performance.now()) / 1000);
    return {
      azp: clientId,
      aud: clientId,
      scope: scopes.join(' '),
      exp: String(Math.floor(Date.now() / 1000) + lifetimeS),
      expires_in: String(lifetimeS),
      email: user,
      email_verified: 'true',
      access_type: 'offline',
    };
  }

  /** Invalidates every access token issued so far. */
  revoke(): void {
    this.#accessTokens.clear();
  }

  /** Invalidates every token of a user, as that user can on the account's page. */
  withdrawConsent(user: string): void {
    for (const tokens of [this.#accessTokens, this.#refreshTokens])
      for (const [token, grant] of tokens)
        if (grant.user.toLowerCase() === user.toLowerCase()) tokens.delete(token);
  }

  /**
   * Handles a token request.
   *
   * @param url to which the request was sent
   * @returns the body of the response
   * @throws {TokenRefusal} with Google's response
   */
  issue(form: Form, url: string) {
    this.requests += 1;
    if (this.fault) throw TOKEN_REFUSALS[this.fault]();
    switch (form.grant_type) {
      case JWT_BEARER:
        return this.#issueAccessToken({
          user: userOfAssertion(String(form.assertion), url),
          clientId: '',
          scopes: [SCOPE],
        });
      case 'authorization_code':
        return this.#redeemCode(form, authenticateClient(form));
      case 'refresh_token':
        return this.#refresh(form, authenticateClient(form));
      default:
        throw createRefusal(400, 'unsupported_grant_type', `Invalid grant_type: ${form.grant_type}`);
    }
  }

  #redeemCode(form: Form, client: OAuthClient) {
    const { user, scopes, offline } = this.codes.redeem(form, client);
    const grant = { user, clientId: client.id, scopes };
    return {
      ...this.#issueAccessToken(grant),
      ...(offline && this.consentFault !== 'no_refresh_token' && this.#issueRefreshToken(grant)),
      ...(scopes.includes('openid') && { id_token: createIdToken(client.id, user) }),
    };
  }

  #refresh({ refresh_token }: Form, client: OAuthClient) {
    const grant = this.#refreshTokens.get(String(refresh_token));
    if (grant?.clientId !== client.id) throw createRefusal(400, 'invalid_grant', 'Bad Request');
    return this.#issueAccessToken(grant);
  }

  #issueAccessToken(grant: Grant) {
    const token = `ya29.${randomBytes(32).toString('base64url')}`;
    this.#accessTokens.set(token, { ...grant, endsAt: performance.now() + this.lifetimeS * 1000 });
    return {
      access_token: token,
      expires_in: this.lifetimeS,
      scope: grant.scopes.join(' '),
      token_type: 'Bearer',
    };
  }

  #issueRefreshToken(grant: Grant) {
    const refresh_token = `1//0${randomBytes(48).toString('base64url')}`;
    this.#refreshTokens.set(refresh_token, grant);
    return {
      refresh_token,
      ...(this.consentFault === 'testing' && { refresh_token_expires_in: TESTING_LIFETIME_S }),
    };
  }

  #findGrant(token: string) {
    const grant = this.#accessTokens.get(token);
    return grant && performance.now() < grant.endsAt ? grant : undefined;
  }
}
