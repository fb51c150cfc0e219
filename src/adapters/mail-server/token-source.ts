import XOAuth2, { type XOAuth2Options } from 'nodemailer/lib/xoauth2';
import type { Credentials } from '../../core/accounts/credentials.ts';
import { MINUTE } from '../../core/time.ts';
import { postForm, TokenError } from './token-request.ts';

export type OAuthCredentials = Exclude<Credentials, { kind: 'app_password' }>;

export interface AccessToken {
  readonly token: string;
  /** When a session that logged in with this token should be replaced, on the monotonic clock. */
  readonly useUntil: number;
  /** The scopes that were granted. Null if the endpoint does not state them. */
  readonly scopes: readonly string[] | null;
}

/** An access token, and whether it was issued for the current call or came from the cache. */
export interface ObtainedToken extends AccessToken {
  readonly isNew: boolean;
}

/** Access tokens of one account, shared by all its connections. Runs one renewal at a time. */
export interface TokenSource {
  /**
   * Returns a token to log in with, from the cache unless it is expired or equals `refused`.
   *
   * @throws {TokenError} if no token can be obtained
   */
  getToken(refused: string | null): Promise<ObtainedToken>;
  /** Drops the cached token, so that the next login requests a new one. */
  discard(): void;
}

/** A token is not handed out during its last five minutes, or its last fifth if that is shorter. */
const MAX_MARGIN_MS = 5 * MINUTE;
const MARGIN_SHARE = 0.2;

/** @param timeoutMs limit of one token request, in ms */
export function createTokenSource(
  user: string,
  credentials: OAuthCredentials,
  timeoutMs: number,
): TokenSource {
  let cached: AccessToken | null = null;
  let renewal: Promise<AccessToken> | null = null;

  async function renew(): Promise<AccessToken> {
    try {
      const { token, lifetimeMs, scopes } = await requestToken(user, credentials, timeoutMs);
      const useUntil = performance.now() + lifetimeMs - Math.min(MAX_MARGIN_MS, lifetimeMs * MARGIN_SHARE);
      cached = lifetimeMs > 0 ? { token, useUntil, scopes } : null;
      return { token, scopes, useUntil: lifetimeMs > 0 ? useUntil : Number.POSITIVE_INFINITY };
    } finally {
      renewal = null;
    }
  }

  return {
    async getToken(refused) {
      if (cached && cached.token !== refused && performance.now() < cached.useUntil)
        return { ...cached, isNew: false };
      renewal ??= renew();
      return { ...(await renewal), isNew: true };
    },
    discard() {
      cached = null;
    },
  };
}

/** The access token of one session. */
export interface SessionTokens {
  /**
   * Returns the token to log in with.
   *
   * @param renew the server refused the last one
   * @throws {TokenError} If no token can be obtained. EOAUTH2 also if the last one was issued for
   *   this login: its age is not the problem then, and Gmail counts every login.
   */
  getToken(renew: boolean): Promise<ObtainedToken>;
  /** True shortly before the token expires. */
  isExpired(): boolean;
}

export function createSessionTokens(tokens: TokenSource): SessionTokens {
  let current: ObtainedToken | null = null;

  return {
    async getToken(renew) {
      if (renew && current?.isNew)
        throw new TokenError('EOAUTH2', 'Gmail refused a token that had just been issued');
      current = await tokens.getToken(renew && current ? current.token : null);
      return current;
    },
    isExpired: () => current !== null && performance.now() >= current.useUntil,
  };
}

/**
 * Builds and signs the request, and parses the response, with nodemailer. Sends the request itself,
 * because nodemailer's HTTP client reports neither the status nor the cause of a failure.
 */
class TokenRequest extends XOAuth2 {
  readonly #timeoutMs: number;
  scopes: readonly string[] | null = null;

  constructor(options: XOAuth2Options, timeoutMs: number) {
    super(options);
    this.#timeoutMs = timeoutMs;
  }

  override postRequest(...[url, payload, , done]: Parameters<XOAuth2['postRequest']>): void {
    postForm(url, payload as Record<string, string>, this.#timeoutMs).then((body) => {
      this.scopes = scopesOf(body);
      done(null, body);
    }, done);
  }
}

/**
 * Requests one access token.
 *
 * @returns `lifetimeMs` is 0 if the response does not state a lifetime: the token then serves one
 *   login
 */
function requestToken(
  user: string,
  credentials: OAuthCredentials,
  timeoutMs: number,
): Promise<{ token: string; lifetimeMs: number; scopes: readonly string[] | null }> {
  const request = new TokenRequest(
    { user, accessUrl: credentials.tokenUrl, ...toGrant(credentials) },
    timeoutMs,
  );
  return new Promise((resolve, reject) => {
    request.generateToken((error, token) => {
      if (error) reject(TokenError.from(error, secretsOf(credentials)));
      else resolve({ token, lifetimeMs: Math.max(0, request.expires - Date.now()), scopes: request.scopes });
    });
  });
}

/** RFC 6749, 5.1: `scope` is a list separated by blanks. */
function scopesOf(response: Buffer): readonly string[] | null {
  const { scope } = JSON.parse(response.toString()) as { readonly scope?: unknown };
  return typeof scope === 'string' ? scope.split(' ') : null;
}

function toGrant(credentials: OAuthCredentials) {
  if (credentials.kind === 'service_account')
    return { serviceClient: credentials.clientEmail, privateKey: credentials.privateKey };
  const { clientId, clientSecret, refreshToken } = credentials;
  return { clientId, clientSecret, refreshToken };
}

/** The secrets in a request, both plain and URL-encoded. The private key is never sent. */
function secretsOf(credentials: OAuthCredentials): string[] {
  if (credentials.kind === 'service_account') return [];
  const { clientSecret, refreshToken } = credentials;
  return [clientSecret, refreshToken].flatMap((secret) => [secret, encodeURIComponent(secret)]);
}
