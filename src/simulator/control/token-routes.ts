import { z } from 'zod';
import { serviceAccountKey } from '../auth/service-account.ts';
import { CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN, type TokenIssuer } from '../auth/token-issuer.ts';
import { TOKEN_FAULTS, type TokenFault, TokenRefusal } from '../auth/token-refusals.ts';
import type { MessageLog } from '../message-log.ts';
import { HttpError, post, type Route } from './http-server.ts';

/** The simulated OAuth of Google, as part of the Simulator object. */
export interface SimulatorOAuth {
  /** GMAIL_OAUTH_TOKEN_URL. */
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Authorizes the simulator's own user. */
  readonly refreshToken: string;
  /**
   * JSON key for GMAIL_SERVICE_ACCOUNT. It may act for every user, except for those of gmail.com.
   */
  readonly serviceAccount: string;
  /** Number of token requests so far. */
  readonly requests: number;
  /** Makes every token request fail; null ends the fault. */
  setFault(fault: TokenFault | null): void;
  /** Sets the lifetime of new tokens, 3600 seconds by default. */
  setLifetime(seconds: number): void;
  /** Revokes every token issued so far, and ends the sessions that logged in with them. */
  revoke(): void;
}

interface TokenContext {
  readonly tokens: TokenIssuer;
  readonly messageLog: MessageLog;
}

/** The token endpoint, and the routes that control it. */
export const TOKEN_ROUTES: readonly Route<TokenContext>[] = [
  {
    method: 'POST',
    path: '/token',
    summary: 'Google’s token endpoint: GMAIL_OAUTH_TOKEN_URL',
    form: true,
    handle: ({ tokens, messageLog }, { body, headers }) => {
      try {
        return tokens.issue(body as Record<string, unknown>, `http://${headers.host}/token`);
      } catch (error) {
        throw error instanceof TokenRefusal ? new HttpError(error.status, error.message, error.body) : error;
      } finally {
        messageLog.notifyWaiters();
      }
    },
  },
  post(
    '/token-fault',
    '{"fault": "invalid_grant"}: makes every token request fail; null ends it',
    z.strictObject({ fault: z.enum(TOKEN_FAULTS).nullable() }),
    ({ tokens }, { fault }) => {
      tokens.fault = fault;
      return { fault };
    },
  ),
  post(
    '/token-revocation',
    '{}: revokes every token issued so far, and ends their sessions',
    z.strictObject({}),
    ({ tokens }) => tokens.revoke(),
  ),
  post(
    '/token-lifetime',
    '{"seconds": 60}: sets the lifetime of new tokens',
    z.strictObject({ seconds: z.number().positive() }),
    ({ tokens }, { seconds }) => {
      tokens.lifetimeS = seconds;
      return { seconds };
    },
  ),
];

export function createOAuth(tokens: TokenIssuer, httpUrl: string): SimulatorOAuth {
  const tokenUrl = `${httpUrl}/token`;
  return {
    tokenUrl,
    clientId: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    refreshToken: REFRESH_TOKEN,
    get serviceAccount() {
      return serviceAccountKey(tokenUrl);
    },
    get requests() {
      return tokens.requests;
    },
    setFault(fault) {
      tokens.fault = fault;
    },
    setLifetime(seconds) {
      tokens.lifetimeS = seconds;
    },
    revoke: () => tokens.revoke(),
  };
}
