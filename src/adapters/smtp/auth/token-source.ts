import XOAuth2, { type XOAuth2Options, type XOAuth2ProvisionCallback } from 'nodemailer/lib/xoauth2';
import type { Credentials } from '../../../core/accounts/credentials.ts';
import { postForm, TokenError } from './token-request.ts';

export type OAuthCredentials = Exclude<Credentials, { kind: 'app_password' }>;

export interface Taken {
  readonly token: string;
  /** It was issued only now. */
  readonly fresh: boolean;
  /** When a session that began with it should make way for another, on the monotonic clock. */
  readonly useUntil: number;
}

/** The access token of an account: one for all connections, renewed before it ends, one renewal at a time. */
export interface TokenSource {
  /**
   * A token to log in with, other than `refused`.
   *
   * @throws {TokenError} if none can be had
   */
  take(refused: string | null): Promise<Taken>;
  /** Lets the next login have a new one. */
  forget(): void;
}

/** A token is not given out in its last five minutes; of a short life, in the last fifth. */
const MAX_MARGIN_MS = 5 * 60_000;
const MARGIN_SHARE = 0.2;

/** @param timeoutMs for one request */
export function createTokenSource(
  user: string,
  credentials: OAuthCredentials,
  timeoutMs: number,
): TokenSource {
  let kept: Omit<Taken, 'fresh'> | null = null;
  let renewal: Promise<Omit<Taken, 'fresh'>> | null = null;

  async function renew(): Promise<Omit<Taken, 'fresh'>> {
    try {
      const { token, lifeMs } = await requestToken(user, credentials, timeoutMs);
      const useUntil = performance.now() + lifeMs - Math.min(MAX_MARGIN_MS, lifeMs * MARGIN_SHARE);
      kept = lifeMs > 0 ? { token, useUntil } : null;
      return { token, useUntil: lifeMs > 0 ? useUntil : Number.POSITIVE_INFINITY };
    } finally {
      renewal = null;
    }
  }

  return {
    async take(refused) {
      if (kept && kept.token !== refused && performance.now() < kept.useUntil)
        return { ...kept, fresh: false };
      renewal ??= renew();
      return { ...(await renewal), fresh: true };
    },
    forget() {
      kept = null;
    },
  };
}

/**
 * Answers one connection of nodemailer's, which asks for a token and, if Gmail refuses that, for another. It gets no other if the first was issued
 * for this very login: what is wrong then is not the token's age, and each login counts.
 */
export function createTokenCache(tokens: TokenSource): {
  provisionCallback: XOAuth2ProvisionCallback;
  isOver(): boolean;
} {
  let given: Taken | null = null;

  async function provide(renew: boolean): Promise<string> {
    if (renew && given?.fresh)
      throw new TokenError('EOAUTH2', 'Gmail refused a token that had just been issued');
    given = await tokens.take(renew && given ? given.token : null);
    return given.token;
  }

  return {
    provisionCallback: (_user, renew, done) => {
      provide(renew).then((token) => done(null, token), done);
    },
    isOver: () => given !== null && performance.now() >= given.useUntil,
  };
}

/** Nodemailer makes and signs the request and reads the answer; the way there is ours, since nodemailer's tells neither status nor cause. */
class Grant extends XOAuth2 {
  readonly #timeoutMs: number;

  constructor(options: XOAuth2Options, timeoutMs: number) {
    super(options);
    this.#timeoutMs = timeoutMs;
  }

  override postRequest(...[url, payload, , done]: Parameters<XOAuth2['postRequest']>): void {
    postForm(url, payload as Record<string, string>, this.#timeoutMs).then((body) => done(null, body), done);
  }
}

/** One request for an access token. `lifeMs` is 0 if the answer does not say: then the token serves one login. */
function requestToken(
  user: string,
  credentials: OAuthCredentials,
  timeoutMs: number,
): Promise<{ token: string; lifeMs: number }> {
  const grant = new Grant({ user, accessUrl: credentials.tokenUrl, ...toGrant(credentials) }, timeoutMs);
  return new Promise((resolve, reject) => {
    grant.generateToken((error, token) => {
      if (error) reject(TokenError.from(error, secretsOf(credentials)));
      else resolve({ token, lifeMs: Math.max(0, grant.expires - Date.now()) });
    });
  });
}

function toGrant(credentials: OAuthCredentials) {
  if (credentials.kind === 'service_account')
    return { serviceClient: credentials.clientEmail, privateKey: credentials.privateKey };
  const { clientId, clientSecret, refreshToken } = credentials;
  return { clientId, clientSecret, refreshToken };
}

/** As they are and as they are sent. The private key is not sent. */
function secretsOf(credentials: OAuthCredentials): string[] {
  if (credentials.kind === 'service_account') return [];
  const { clientSecret, refreshToken } = credentials;
  return [clientSecret, refreshToken].flatMap((secret) => [secret, encodeURIComponent(secret)]);
}
