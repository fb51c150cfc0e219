import { z } from 'zod';
import type { Credentials, ReadCredentials } from '../core/accounts/credentials.ts';
import { isSet, type Problem, type Setting } from './environment.ts';
import { parseOAuthWord, parseServiceAccount } from './oauth-config.ts';
import { defaultOf, optional, parseSettings } from './setting-schema.ts';
import { InvalidValue } from './value-parsers.ts';

const APP_PASSWORDS_PAGE = 'https://myaccount.google.com/apppasswords';

/** The settings of every way to log in. */
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
const LOGIN_METHODS: readonly (readonly LoginField[])[] = [
  ['app_password'],
  OAUTH_FIELDS,
  ['service_account'],
];

/**
 * Parses the credentials of an account. They are null if none are set or they are invalid.
 *
 * @param tokenUrl Overrides the token_uri of a service account.
 */
export function parseLogin(
  settings: LoginSettings,
  tokenUrl: string | undefined,
): { credentials: Credentials | null; problems: Problem[] } {
  const parsed = parseSettings(login, settings);
  const problems = [...parsed.problems, ...findMethodProblems(settings)];
  return {
    credentials:
      parsed.values === null || problems.length > 0 ? null : toCredentials(parsed.values, tokenUrl),
    problems,
  };
}

/** Reports several login methods at once, and an incomplete one. */
function findMethodProblems(settings: LoginSettings): Problem[] {
  const used = LOGIN_METHODS.map((fields) =>
    fields.filter((field) => isSet(settings[field])).map((field) => settings[field].label),
  ).filter((labels) => labels.length > 0);
  const [first = '', ...rest] = used.flat();
  if (used.length > 1) {
    return [
      {
        variable: first,
        message: `It cannot be combined with ${rest.join(', ')}: an account has one way to log in. Keep one of them.`,
      },
    ];
  }
  if (!OAUTH_FIELDS.some((field) => isSet(settings[field]))) return [];
  return OAUTH_FIELDS.filter((field) => !isSet(settings[field])).map((field) => ({
    variable: settings[field].label,
    message: `It is required with ${[first, ...rest].join(' and ')}: OAuth2 needs client id, client secret and refresh token.`,
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

/**
 * Returns a function that reads the current credentials. While the new ones are invalid, it returns
 * the last valid ones.
 *
 * @param reread Returns the current login settings, or null if none are stored in files.
 */
export function createCredentialsReader(
  first: Credentials,
  reread: () => LoginSettings | null,
  tokenUrl: string | undefined,
): ReadCredentials {
  let last = first;
  return () => {
    const settings = reread();
    if (settings !== null) last = parseLogin(settings, tokenUrl).credentials ?? last;
    return last;
  };
}

/** Returns the error of an account without any login setting, with the fix. */
export function howToLogIn(settings: LoginSettings): string {
  const { app_password, service_account } = settings;
  return (
    `It is required. Create an app password at ${APP_PASSWORDS_PAGE} and set it like this: ${assign(app_password.label, 'abcd efgh ijkl mnop')} ` +
    `(or, instead, ${OAUTH_FIELDS.map((field) => settings[field].label).join(', ')} for OAuth2, or ${service_account.label})`
  );
}

/** Formats a setting for the shell (a variable) or as JSON (a field). */
function assign(label: string, value: string): string {
  return label === label.toUpperCase() ? `${label}="${value}"` : `"${label}": "${value}"`;
}

/** Google shows it as four groups of four letters, sometimes with no-break spaces between them. */
function parseAppPassword(text: string): string {
  const letters = text.replace(/\s/gu, '');
  if (!/^[A-Za-z]{16}$/.test(letters)) {
    throw new InvalidValue(
      `An app password has exactly 16 letters, apart from spaces. The account's own password does not work: create an app password at ${APP_PASSWORDS_PAGE}.`,
    );
  }
  return letters;
}
