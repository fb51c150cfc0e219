import { z } from 'zod';
import type { Credentials, ReadCredentials } from '../core/accounts/credentials.ts';
import { isSet, type Problem, type Setting } from './environment.ts';
import { parseOAuthWord, parseServiceAccount } from './oauth-config.ts';
import { defaultOf, optional, parseSettings } from './schema.ts';
import { InvalidValue } from './values.ts';

const APP_PASSWORDS_PAGE = 'https://myaccount.google.com/apppasswords';

/** Everything an account may log in with. */
const login = z.object({
  app_password: optional(parseAppPassword),
  oauth_client_id: optional(parseOAuthWord),
  oauth_client_secret: optional(parseOAuthWord),
  oauth_refresh_token: optional(parseOAuthWord),
  service_account: optional(parseServiceAccount),
});

export type LoginField = keyof typeof login.shape;
export const LOGIN_FIELDS = login.keyof().options;
export type LoginSettings = Readonly<Record<LoginField, Setting>>;

const OAUTH_FIELDS = ['oauth_client_id', 'oauth_client_secret', 'oauth_refresh_token'] as const;
const WAYS: readonly (readonly LoginField[])[] = [['app_password'], OAUTH_FIELDS, ['service_account']];

/**
 * How an account logs in; null if no way is set, or a wrong one.
 *
 * @param tokenUrl what counts more than the token_uri of a service account
 */
export function parseLogin(
  settings: LoginSettings,
  tokenUrl: string | undefined,
): { credentials: Credentials | null; problems: Problem[] } {
  const parsed = parseSettings(login, settings);
  const problems = [...parsed.problems, ...refuseAllButOneWay(settings)];
  return {
    credentials:
      parsed.values === null || problems.length > 0 ? null : toCredentials(parsed.values, tokenUrl),
    problems,
  };
}

/** Two ways at once leave open which one counts; a part of one leads nowhere. */
function refuseAllButOneWay(settings: LoginSettings): Problem[] {
  const begun = WAYS.map((way) =>
    way.filter((field) => isSet(settings[field])).map((field) => settings[field].label),
  ).filter((labels) => labels.length > 0);
  const [first = '', ...others] = begun.flat();
  if (begun.length > 1) {
    return [
      {
        variable: first,
        message: `It cannot stand beside ${others.join(', ')}: an account has one way to log in. Keep one.`,
      },
    ];
  }
  if (!OAUTH_FIELDS.some((field) => isSet(settings[field]))) return [];
  return OAUTH_FIELDS.filter((field) => !isSet(settings[field])).map((field) => ({
    variable: settings[field].label,
    message: `It is required beside ${[first, ...others].join(' and ')}: OAuth2 takes client id, client secret and refresh token.`,
  }));
}

function toCredentials(values: z.infer<typeof login>, tokenUrl: string | undefined): Credentials | null {
  const { app_password, oauth_client_id, oauth_client_secret, oauth_refresh_token, service_account } = values;
  if (app_password !== undefined) return { kind: 'app_password', password: app_password };
  if (service_account !== undefined) {
    const { clientEmail, privateKey, tokenUri } = service_account;
    return {
      kind: 'service_account',
      clientEmail,
      privateKey,
      tokenUrl: tokenUrl ?? tokenUri ?? defaultOf('GMAIL_OAUTH_TOKEN_URL'),
    };
  }
  if (oauth_client_id === undefined || oauth_client_secret === undefined || oauth_refresh_token === undefined)
    return null;
  return {
    kind: 'refresh_token',
    clientId: oauth_client_id,
    clientSecret: oauth_client_secret,
    refreshToken: oauth_refresh_token,
    tokenUrl: tokenUrl ?? defaultOf('GMAIL_OAUTH_TOKEN_URL'),
  };
}

/** @param again the settings as they are now; null if there are none */
export function createCredentialsReader(
  first: Credentials,
  again: () => LoginSettings | null,
  tokenUrl: string | undefined,
): ReadCredentials {
  let last = first;
  return () => {
    const settings = again();
    if (settings !== null) last = parseLogin(settings, tokenUrl).credentials ?? last;
    return last;
  };
}

/** The mend when an account cannot log in at all. */
export function howToLogIn(settings: LoginSettings): string {
  const { app_password, service_account } = settings;
  return (
    `It is required. Make one at ${APP_PASSWORDS_PAGE} and set it like this: ${assign(app_password.label, 'abcd efgh ijkl mnop')} ` +
    `(or, in its place, ${OAUTH_FIELDS.map((field) => settings[field].label).join(', ')} for OAuth2, or ${service_account.label})`
  );
}

/** As a shell writes it, or as JSON does. */
function assign(label: string, value: string): string {
  return label === label.toUpperCase() ? `${label}="${value}"` : `"${label}": "${value}"`;
}

/** Google shows it in four groups of four letters, at times with no-break spaces between them. */
function parseAppPassword(text: string): string {
  const letters = text.replace(/\s/gu, '');
  if (!/^[A-Za-z]{16}$/.test(letters)) {
    throw new InvalidValue(
      `An app password has exactly 16 letters, apart from spaces. The account's own password does not work: make an app password at ${APP_PASSWORDS_PAGE}.`,
    );
  }
  return letters;
}
