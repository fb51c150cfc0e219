import { z } from 'zod';
import { DESKTOP_CLIENT, type OAuthClient, WEB_CLIENT } from '../auth/clients.ts';
import { serviceAccountKey } from '../auth/service-account.ts';
import { CONSENT_FAULTS, type ConsentFault, REFRESH_TOKEN, type TokenIssuer } from '../auth/token-issuer.ts';
import { TOKEN_FAULTS, type TokenFault, TokenRefusal } from '../auth/token-refusals.ts';
import type { MessageLog } from '../message-log.ts';
import { AUTHORIZATION_PATH } from './consent-routes.ts';
import { HttpError, post, type Route } from './http-server.ts';

/** The simulated OAuth of Google, as part of the Simulator object. */
export interface SimulatorOAuth {
  /** GMAIL_OAUTH_TOKEN_URL. */
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Authorizes the simulator's own user. */
  readonly refreshToken: string;
  /** The file of the client, as downloaded from the Google Cloud console. */
  readonly clientFile: string;
  /** The file of a client of type web application. */
  readonly webClientFile: string;
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
  /** Revokes every access token issued so far, and ends the sessions that logged in with them. */
  revoke(): void;
  /** Applies a fault to the consent page and to the tokens of new consents; null ends it. */
  setConsentFault(fault: ConsentFault | null): void;
  /** Revokes every token of a user, also the refresh tokens. */
  withdrawConsent(user: string): void;
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
    '{}: revokes every access token issued so far, and ends their sessions',
    z.strictObject({}),
    ({ tokens }) => tokens.revoke(),
  ),
  {
    method: 'GET',
    path: '/tokeninfo',
    summary: 'Google’s tokeninfo endpoint: the user and scopes of an access token',
    handle: ({ tokens }, { query }) => {
      const info = tokens.describe(query.get('access_token') ?? '');
      if (info) return info;
      throw new HttpError(400, 'invalid_token', {
        error: 'invalid_token',
        error_description: 'Invalid Value',
      });
    },
  },
  post(
    '/consent-fault',
    `{"fault": "testing"}: makes consent fail: ${CONSENT_FAULTS.join(', ')}; null ends it`,
    z.strictObject({ fault: z.enum(CONSENT_FAULTS).nullable() }),
    ({ tokens }, { fault }) => {
      tokens.consentFault = fault;
      return { fault };
    },
  ),
  post(
    '/consent-withdrawal',
    '{"user": "you@example.com"}: revokes every token of a user, also refresh tokens',
    z.strictObject({ user: z.string() }),
    ({ tokens }, { user }) => tokens.withdrawConsent(user),
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
    clientId: DESKTOP_CLIENT.id,
    clientSecret: DESKTOP_CLIENT.secret,
    refreshToken: REFRESH_TOKEN,
    clientFile: toClientFile('installed', DESKTOP_CLIENT, httpUrl),
    webClientFile: toClientFile('web', WEB_CLIENT, httpUrl),
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
    setConsentFault(fault) {
      tokens.consentFault = fault;
    },
    withdrawConsent: (user) => tokens.withdrawConsent(user),
  };
}

function toClientFile(type: 'installed' | 'web', { id, secret }: OAuthClient, httpUrl: string): string {
  const client = {
    client_id: id,
    project_id: 'simulator-project',
    auth_uri: `${httpUrl}${AUTHORIZATION_PATH}`,
    token_uri: `${httpUrl}/token`,
    client_secret: secret,
  };
  return JSON.stringify({ [type]: client });
}
