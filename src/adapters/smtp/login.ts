import { isDeepStrictEqual } from 'node:util';
import type { XOAuth2ProvisionCallback } from 'nodemailer/lib/xoauth2';
import type { Credentials, ReadCredentials } from '../../core/credentials.ts';
import { createTokenSource, toProvision } from './oauth.ts';
import type { Deadlines } from './server-options.ts';

/** A login as nodemailer takes it, for one connection. */
export type Auth =
  | { readonly user: string; readonly pass: string; readonly method: 'PLAIN' }
  | { readonly user: string; readonly type: 'OAuth2'; readonly provisionCallback: XOAuth2ProvisionCallback };

/** One set of credentials. A connection made with another login than the current one must not be used again. */
export interface Login {
  createAuth(): Auth;
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
    return { createAuth: () => ({ user, pass: credentials.password, method: 'PLAIN' }), refresh() {} };
  }
  const tokens = createTokenSource(user, credentials, tokenMs);
  return { createAuth: () => ({ user, type: 'OAuth2', provisionCallback: toProvision(tokens) }), refresh: tokens.forget };
}
