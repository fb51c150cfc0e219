import { isDeepStrictEqual } from 'node:util';
import type { Credentials, ReadCredentials } from '../../core/accounts/credentials.ts';
import { createSessionTokens, createTokenSource, type SessionTokens } from './token-source.ts';

/** The credentials of one session. */
export type SessionAuth =
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | {
      readonly kind: 'oauth';
      readonly user: string;
      /** Called for an access token, and again if the server refuses that token. */
      readonly getToken: SessionTokens['getToken'];
    };

/** The login of one session. */
export interface SessionLogin {
  readonly auth: SessionAuth;
  /** True shortly before the session's token expires: Gmail then closes the session. */
  isExpired(): boolean;
}

/**
 * One set of credentials. A connection opened with a set that is no longer current must not be
 * reused.
 */
export interface AccountLogin {
  createSessionLogin(): SessionLogin;
  /** Drops the cached access token, so that the next login requests a new one. */
  discardToken(): void;
}

/** The current credentials of an account, shared by all its servers, connections and protocols. */
export interface LoginProvider {
  current(): AccountLogin;
  /**
   * Reports a refused login: the next `current()` rereads the credentials, since they may have been
   * rotated.
   */
  reportRefused(): void;
  /** Whether a connection that was opened with this login can go on. */
  isCurrent(login: AccountLogin | null): boolean;
  /** Reads the credentials from elsewhere. Returns whether they differ from those in use. */
  replace(credentials: ReadCredentials): boolean;
}

/**
 * Reads the credentials when they are first needed, and again after a refused login.
 *
 * @param tokenMs limit of one token request, in ms
 */
export function createLoginProvider(
  user: string,
  firstCredentials: ReadCredentials,
  tokenMs: number,
): LoginProvider {
  let readCredentials = firstCredentials;
  let cached: { readonly credentials: Credentials; readonly login: AccountLogin } | null = null;
  let wasRefused = false;

  return {
    current() {
      if (cached && !wasRefused) return cached.login;
      wasRefused = false;
      const credentials = readCredentials();
      if (cached && isDeepStrictEqual(cached.credentials, credentials)) cached.login.discardToken();
      else cached = { credentials, login: createLogin(user, credentials, tokenMs) };
      return cached.login;
    },
    reportRefused() {
      wasRefused = true;
    },
    isCurrent: (login) => login === cached?.login,
    replace(next) {
      readCredentials = next;
      if (!cached) return false;
      const credentials = next();
      if (isDeepStrictEqual(cached.credentials, credentials)) return false;
      cached = { credentials, login: createLogin(user, credentials, tokenMs) };
      wasRefused = false;
      return true;
    },
  };
}

function createLogin(user: string, credentials: Credentials, tokenMs: number): AccountLogin {
  if (credentials.kind === 'app_password') {
    const auth = { kind: 'password', user, password: credentials.password } as const;
    return { createSessionLogin: () => ({ auth, isExpired: () => false }), discardToken() {} };
  }
  const tokens = createTokenSource(user, credentials, tokenMs);
  return {
    createSessionLogin() {
      const { getToken, isExpired } = createSessionTokens(tokens);
      return { auth: { kind: 'oauth', user, getToken }, isExpired };
    },
    discardToken: tokens.discard,
  };
}
