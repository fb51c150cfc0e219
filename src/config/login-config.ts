import { z } from 'zod';
import type { Credentials, ReadCredentials } from '../core/accounts/credentials.ts';
import { toMailboxKey } from '../core/message/address.ts';
import { isSet, type Problem, type Setting } from './environment.ts';
import { parseOAuthWord, parseServiceAccount } from './oauth-config.ts';
import { parseOAuthGrant, toGrantCredentials } from './oauth-file.ts';
import { defaultOf, optional, parseSettings } from './setting-schema.ts';
import { InvalidValue } from './value-parsers.ts';

export const APP_PASSWORDS_PAGE = 'https://myaccount.google.com/apppasswords';
export const TWO_STEP_PAGE = 'https://myaccount.google.com/signinoptions/two-step-verification';

/** The settings of every way to log in. */
const login = z.object({
  app_password: optional(parseAppPassword),
  oauth_client_id: optional(parseOAuthWord),
  oauth_client_secret: optional(parseOAuthWord),
  oauth_refresh_token: optional(parseOAuthWord),
  oauth: optional(parseOAuthGrant),
  service_account: optional(parseServiceAccount),
});

export type LoginField = keyof typeof login.shape;
export const LOGIN_FIELDS = login.keyof().options;
export type LoginSettings = Readonly<Record<LoginField, Setting>>;

const OAUTH_FIELDS = ['oauth_client_id', 'oauth_client_secret', 'oauth_refresh_token'] as const;
const LOGIN_METHODS: readonly (readonly LoginField[])[] = [
  ['app_password'],
  OAUTH_FIELDS,
  ['oauth'],
  ['service_account'],
];

/** Configuration outside the login settings that they depend on. */
export interface LoginContext {
  /** The account to log in as, if it is valid. */
  readonly user: string | undefined;
  /** GMAIL_OAUTH_TOKEN_URL, if it is set. Overrides the token_uri of a file from Google. */
  readonly tokenUrl: string | undefined;
}

/** Parses the credentials of an account. They are null if none are set or they are invalid. */
export function parseLogin(
  settings: LoginSettings,
  { user, tokenUrl }: LoginContext,
): { credentials: Credentials | null; problems: Problem[] } {
  const { values, problems: invalid } = parseSettings(login, settings);
  const problems = [
    ...invalid.map((problem) => addHowToLogIn(problem, settings)),
    ...findMethodProblems(settings),
    ...findOtherAccount(settings, user, values?.oauth?.account ?? null),
  ];
  return {
    credentials: values === null || problems.length > 0 ? null : toCredentials(values, tokenUrl),
    problems,
  };
}

/** Adds the command that writes the file, if it cannot be read. */
function addHowToLogIn({ variable, message }: Problem, { oauth }: LoginSettings): Problem {
  const isUnreadable = variable === oauth.label && oauth.problem === message;
  return { variable, message: isUnreadable ? `${message} To create it, run outtray login.` : message };
}

/** Reports a login of another account than the one that it is set for. */
function findOtherAccount(
  { oauth }: LoginSettings,
  user: string | undefined,
  account: string | null,
): Problem[] {
  if (user === undefined || account === null || toMailboxKey(account) === toMailboxKey(user)) return [];
  const message =
    'It is the login of another account than the one it is set for. Run outtray login for this account.';
  return [{ variable: oauth.label, message }];
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
  const { app_password, oauth_client_id, oauth_client_secret, oauth_refresh_token, oauth, service_account } =
    values;
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
  if (oauth !== undefined)
    return toGrantCredentials(oauth, tokenUrl ?? oauth.tokenUri ?? defaultOf('GMAIL_OAUTH_TOKEN_URL'));
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
  context: LoginContext,
): ReadCredentials {
  let last = first;
  return () => {
    const settings = reread();
    if (settings !== null) last = parseLogin(settings, context).credentials ?? last;
    return last;
  };
}

/** Returns the error of an account without any login setting, with the fix. */
export function howToLogIn(settings: LoginSettings): string {
  const { app_password, oauth, service_account } = settings;
  return (
    `It is required. Create an app password at ${APP_PASSWORDS_PAGE} and set it like this: ${assign(app_password.label, 'abcd efgh ijkl mnop')} ` +
    `(or, instead, the file that outtray login writes as ${toFileLabel(oauth.label)}, or ` +
    `${OAUTH_FIELDS.map((field) => settings[field].label).join(', ')} for OAuth2, or ${service_account.label})`
  );
}

function toFileLabel(label: string): string {
  return label === label.toUpperCase() ? `${label}_FILE` : `${label}_file`;
}

/** Formats a setting for the shell (a variable) or as JSON (a field). */
function assign(label: string, value: string): string {
  return label === label.toUpperCase() ? `${label}="${value}"` : `"${label}": "${value}"`;
}

/** Google shows it as four groups of four letters, sometimes with no-break spaces between them. */
export function parseAppPassword(text: string): string {
  const letters = text.replace(/\s/gu, '');
  if (!/^[A-Za-z]{16}$/.test(letters)) {
    throw new InvalidValue(
      `An app password has exactly 16 letters, apart from spaces. The account's own password does not work: create an app password at ${APP_PASSWORDS_PAGE}.`,
    );
  }
  return letters;
}
