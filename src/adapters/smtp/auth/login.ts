import { isDeepStrictEqual } from 'node:util';
import type { XOAuth2ProvisionCallback } from 'nodemailer/lib/xoauth2';
import type { Credentials, ReadCredentials } from '../../../core/accounts/credentials.ts';
import type { Deadlines } from '../server-options.ts';
import { createTokenCache, createTokenSource } from './token-source.ts';

/** A login as nodemailer takes it, for one connection. */
export type Auth =
  | { readonly user: string; readonly pass: string; readonly method: 'PLAIN' }
  | { readonly user: string; readonly type: 'OAuth2'; readonly provisionCallback: XOAuth2ProvisionCallback };

/** What one connection logs in with. */
export interface Pass {
  readonly auth: Auth;
  /** Whether the token that the session began with is about to end, and Gmail to end the session with it. */
  isOver(): boolean;
}

/** One set of credentials. A connection made with another login than the current one must not be used again. */
export interface Login {
  createPass(): Pass;
  /** What these credentials brought so far was of no use: begin anew with them. */
  refresh(): void;
}

/** How the account logs in: one for all servers and connections. */
export interface Logins {
  current(): Login;
  /** A login was refused: the credentials may have been changed for others since they were read. */
  refused(): void;
}

/** Reads the credentials when they are first needed, and again at the first login after one that was refused. */
export function createLogins(user: string, read: ReadCredentials, { tokenMs }: Deadlines): Logins {
  let known: { readonly credentials: Credentials; readonly login: Login } | null = null;
  let doubtful = false;

  return {
    current() {
      if (known && !doubtful) return known.login;
      doubtful = false;
      const credentials = read();
      if (known && isDeepStrictEqual(known.credentials, credentials)) known.login.refresh();
      else known = { credentials, login: createLogin(user, credentials, tokenMs) };
      return known.login;
    },
    refused() {
      doubtful = true;
    },
  };
}

function createLogin(user: string, credentials: Credentials, tokenMs: number): Login {
  if (credentials.kind === 'app_password') {
    const auth = { user, pass: credentials.password, method: 'PLAIN' } as const;
    return { createPass: () => ({ auth, isOver: () => false }), refresh() {} };
  }
  const tokens = createTokenSource(user, credentials, tokenMs);
  return {
    createPass() {
      const { provisionCallback, isOver } = createTokenCache(tokens);
      return { auth: { user, type: 'OAuth2', provisionCallback }, isOver };
    },
    refresh: tokens.forget,
  };
}
