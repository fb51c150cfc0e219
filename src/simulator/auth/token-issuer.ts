/** Google's token endpoint: access tokens for a refresh token, or for the signed assertion of a service account. Not checked: consent. */
import { generateKeyPairSync, randomBytes, verify } from 'node:crypto';
import { z } from 'zod';
import { HttpError, post, type Route } from '../control/http-server.ts';
import type { MessageLog } from '../message-log.ts';

const SCOPE = 'https://mail.google.com/';
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const CLIENT_ID = '1234567890-simulator.apps.googleusercontent.com';
const CLIENT_SECRET = 'GOCSPX-simulator-client-secret';
const REFRESH_TOKEN = '1//0simulator-refresh-token';
const SERVICE_ACCOUNT = 'outtray@simulator-project.iam.gserviceaccount.com';
/** An assertion may be good for an hour, and may be dated a little ahead. */
const ASSERTION_S = 3600;
const SKEW_S = 300;

export const TOKEN_FAULTS = ['invalid_grant', 'unauthorized_client', 'clock_skew', 'unavailable'] as const;
export type TokenFault = (typeof TOKEN_FAULTS)[number];

/** What stands for Google's OAuth on the Simulator object. */
export interface SimulatorOAuth {
  /** GMAIL_OAUTH_TOKEN_URL. */
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** The consent of the simulator's own user. */
  readonly refreshToken: string;
  /** A JSON key, as GMAIL_SERVICE_ACCOUNT takes it: delegated to act for every user but those of gmail.com. */
  readonly serviceAccount: string;
  /** How often a token was asked for. */
  readonly requests: number;
  /** Answers every request so; null issues tokens again. */
  setFault(fault: TokenFault | null): void;
  /** Of tokens issued from now on; an hour unless told otherwise. */
  setLifetime(seconds: number): void;
  /** Ends every token issued so far, and the sessions that began with them. */
  revoke(): void;
}

/** Whom each token lets in, and until when. */
export class TokenIssuer {
  fault: TokenFault | null = null;
  lifetimeS = 3600;
  requests = 0;
  readonly #user: string;
  readonly #tokens = new Map<string, { readonly user: string; readonly endsAt: number }>();

  constructor(user: string) {
    this.#user = user;
  }

  /** Whether the token lets this user in. */
  accepts(user: string, token: string): boolean {
    const issued = this.#tokens.get(token);
    return issued !== undefined && issued.user === user.toLowerCase() && performance.now() < issued.endsAt;
  }

  revoke(): void {
    this.#tokens.clear();
  }

  /**
   * Answers a token request that came to `url`.
   *
   * @throws {HttpError} with Google's answer
   */
  answer(form: Readonly<Record<string, unknown>>, url: string) {
    this.requests += 1;
    if (this.fault) throw REFUSALS[this.fault]();
    const user = this.#judge(form, url);
    const token = `ya29.${randomBytes(32).toString('base64url')}`;
    this.#tokens.set(token, { user: user.toLowerCase(), endsAt: performance.now() + this.lifetimeS * 1000 });
    return { access_token: token, expires_in: this.lifetimeS, scope: SCOPE, token_type: 'Bearer' };
  }

  /** The user that the grant speaks for. */
  #judge(
    { grant_type, client_id, client_secret, refresh_token, assertion }: Readonly<Record<string, unknown>>,
    url: string,
  ): string {
    if (grant_type === JWT_BEARER) return userOfAssertion(String(assertion), url);
    if (grant_type !== 'refresh_token')
      throw refusal(400, 'unsupported_grant_type', `Invalid grant_type: ${grant_type}`);
    if (client_id !== CLIENT_ID) throw refusal(401, 'invalid_client', 'The OAuth client was not found.');
    if (client_secret !== CLIENT_SECRET) throw refusal(401, 'invalid_client', 'Unauthorized');
    if (refresh_token !== REFRESH_TOKEN) throw refusal(400, 'invalid_grant', 'Bad Request');
    return this.#user;
  }
}

/** Google's words (https://developers.google.com/identity/protocols/oauth2/service-account#error-codes). */
const REFUSALS: Readonly<Record<TokenFault, () => HttpError>> = {
  invalid_grant: () => refusal(400, 'invalid_grant', 'Token has been expired or revoked.'),
  unauthorized_client: () =>
    refusal(
      401,
      'unauthorized_client',
      'Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.',
    ),
  clock_skew: () =>
    refusal(
      400,
      'invalid_grant',
      'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.',
    ),
  unavailable: () => new HttpError(503, 'The service is currently unavailable.'),
};

function refusal(status: number, error: string, description: string): HttpError {
  return new HttpError(status, description, { error, error_description: description });
}

const claims = z.object({
  iss: z.string(),
  scope: z.string(),
  sub: z.string(),
  aud: z.string(),
  iat: z.number(),
  exp: z.number(),
});

/** RFC 7523, as Google judges it. */
function userOfAssertion(assertion: string, url: string): string {
  const [header = '', payload = '', signature = ''] = assertion.split('.');
  const { success, data } = claims.safeParse(parseBase64Json(payload));
  if (!success) throw refusal(400, 'invalid_grant', 'Invalid JWT: the claims cannot be read.');
  const { iss, scope, sub, aud, iat, exp } = data;
  if (iss !== SERVICE_ACCOUNT) throw refusal(400, 'invalid_grant', 'Invalid grant: account not found');
  const signed = verify(
    'RSA-SHA256',
    Buffer.from(`${header}.${payload}`),
    keys().publicKey,
    Buffer.from(signature, 'base64url'),
  );
  if (!signed) throw refusal(400, 'invalid_grant', 'Invalid JWT Signature.');
  if (aud !== url) throw refusal(400, 'invalid_grant', 'Invalid JWT: Failed audience check.');
  const now = Date.now() / 1000;
  if (iat > now + SKEW_S || exp < now - SKEW_S || exp - iat > ASSERTION_S) throw REFUSALS.clock_skew();
  if (scope !== SCOPE || /@(?:gmail|googlemail)\.com$/i.test(sub)) throw REFUSALS.unauthorized_client();
  return sub;
}

function parseBase64Json(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString());
  } catch {
    return null;
  }
}

/** One key for the process: it takes a while to make. */
let made: { readonly publicKey: string; readonly privateKey: string } | undefined;

function keys() {
  made ??= generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return made;
}

/** Also the switches, beside those of the SMTP ports. */
export const TOKEN_ROUTES: readonly Route<{ readonly tokens: TokenIssuer; readonly journal: MessageLog }>[] =
  [
    {
      method: 'POST',
      path: '/token',
      summary: 'Google’s token endpoint: GMAIL_OAUTH_TOKEN_URL',
      form: true,
      handle: ({ tokens, journal }, { body, headers }) => {
        try {
          return tokens.answer(body as Record<string, unknown>, `http://${headers.host}/token`);
        } finally {
          journal.changed();
        }
      },
    },
    post(
      '/token-fault',
      '{"fault": "invalid_grant"}: every token request fails so; null heals',
      z.strictObject({ fault: z.enum(TOKEN_FAULTS).nullable() }),
      ({ tokens }, { fault }) => {
        tokens.fault = fault;
        return { fault };
      },
    ),
    post(
      '/token-revocation',
      '{}: ends every token issued so far, and the sessions that began with them',
      z.strictObject({}),
      ({ tokens }) => tokens.revoke(),
    ),
    post(
      '/token-lifetime',
      '{"seconds": 60}: how long tokens are good from now on',
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
      const key = {
        type: 'service_account',
        client_email: SERVICE_ACCOUNT,
        private_key: keys().privateKey,
        token_uri: tokenUrl,
      };
      return JSON.stringify(key);
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
