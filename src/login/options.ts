import { readFileSync } from 'node:fs';
import { z } from 'zod';
import {
  type Environment,
  readSettings,
  reasonOf,
  type Setting,
  type Settings,
} from '../config/environment.ts';
import { parseOAuthWord, parseServiceAccount, parseTokenUrl } from '../config/oauth-config.ts';
import { defaulted, defaultOf, optional, parseSettings } from '../config/setting-schema.ts';
import { logsIn, parseSmtpUrl } from '../config/smtp-url.ts';
import { InvalidValue, parseEmailSetting, parseWholeNumber } from '../config/value-parsers.ts';
import { GOOGLE_AUTH_URL, type OAuthClient, parseClientFile } from './client-file.ts';
import type { ConsentLogin, ServiceAccountLogin } from './login.ts';
import { readLoginFile } from './login-file.ts';

/** The command line of `outtray login`. Each option wins over its variable. */
export interface LoginFlags {
  readonly user?: string | undefined;
  readonly 'client-file'?: string | undefined;
  readonly 'client-id'?: string | undefined;
  readonly 'client-secret'?: string | undefined;
  readonly out?: string | undefined;
  readonly paste?: boolean | undefined;
  readonly port?: string | undefined;
  readonly 'service-account'?: string | undefined;
}

export type LoginOptions = ConsentLogin | ServiceAccountLogin;

const DEFAULT_FILE = 'gmail-oauth.json';
const CREATE_CLIENT =
  'An OAuth client is required. Create one of type Desktop app at https://console.cloud.google.com/auth/clients, download its JSON file, and set --client-file to its path.';

const variables = z.object({
  GMAIL_USER: optional((text) => parseEmailSetting(text, (reason) => reason)),
  GMAIL_OAUTH_CLIENT_ID: optional(parseOAuthWord),
  GMAIL_OAUTH_CLIENT_SECRET: optional(parseOAuthWord),
  GMAIL_OAUTH_TOKEN_URL: optional(parseTokenUrl),
  SMTP_URL: defaulted('SMTP_URL', parseSmtpUrl),
});
type Values = z.infer<typeof variables>;

/**
 * Combines the command line with the environment.
 *
 * @throws {InvalidValue} naming each option or variable that is missing or invalid
 * @throws {LoginError} if the client is for web applications
 */
export function readLoginOptions(flags: LoginFlags, env: Environment): LoginOptions {
  checkCombination(flags);
  const { values, problems } = parseSettings(variables, overrideSettings(readSettings(env), flags));
  if (values === null)
    throw new InvalidValue(problems.map(({ variable, message }) => `${variable}: ${message}`).join('\n'));
  const { GMAIL_USER: user, GMAIL_OAUTH_TOKEN_URL: tokenUrl, SMTP_URL: servers } = values;
  if (user === undefined)
    throw new InvalidValue('--user: It is required, or GMAIL_USER: the full address of the account.');
  if (!servers.some(logsIn))
    throw new InvalidValue('SMTP_URL: No server in it takes a login. Remove it to log in to smtp.gmail.com.');
  if (flags['service-account'] !== undefined) {
    const key = readOptionFile('--service-account', flags['service-account'], parseServiceAccount);
    return {
      kind: 'service_account',
      user,
      file: flags['service-account'],
      key,
      tokenUrl: tokenUrl ?? key.tokenUri ?? defaultOf('GMAIL_OAUTH_TOKEN_URL'),
      servers,
    };
  }
  const file = flags.out || env.GMAIL_OAUTH_FILE?.trim() || DEFAULT_FILE;
  return {
    kind: 'consent',
    user,
    client: findClient(flags, values, file),
    file,
    paste: flags.paste ?? false,
    port: flags.port === undefined ? 0 : parsePort(flags.port),
    servers,
  };
}

/** Options that an option makes meaningless. */
const EXCLUDED = {
  'service-account': ['client-file', 'client-id', 'client-secret', 'out', 'paste', 'port'],
  'client-file': ['client-id', 'client-secret'],
  paste: ['port'],
} as const satisfies Partial<Record<keyof LoginFlags, readonly (keyof LoginFlags)[]>>;

/** @throws {InvalidValue} naming two options of which one would be ignored */
function checkCombination(flags: LoginFlags): void {
  for (const [option, others] of Object.entries(EXCLUDED)) {
    if (!flags[option as keyof typeof EXCLUDED]) continue;
    const other = others.find((name) => flags[name] !== undefined);
    if (other !== undefined)
      throw new InvalidValue(`--${option} and --${other} cannot be combined: remove one of them.`);
  }
}

function overrideSettings(settings: Settings, flags: LoginFlags): Settings {
  const override = (option: 'user' | 'client-id' | 'client-secret', setting: Setting): Setting => {
    const text = flags[option];
    return text === undefined ? setting : { label: `--${option}`, text };
  };
  return {
    ...settings,
    GMAIL_USER: override('user', settings.GMAIL_USER),
    GMAIL_OAUTH_CLIENT_ID: override('client-id', settings.GMAIL_OAUTH_CLIENT_ID),
    GMAIL_OAUTH_CLIENT_SECRET: override('client-secret', settings.GMAIL_OAUTH_CLIENT_SECRET),
  };
}

/** Returns the client of the command line, of the environment, or of the login to replace. */
function findClient(flags: LoginFlags, values: Values, file: string): OAuthClient {
  const { GMAIL_OAUTH_TOKEN_URL: tokenUrl } = values;
  if (flags['client-file'] !== undefined)
    return readOptionFile('--client-file', flags['client-file'], (text) => parseClientFile(text, tokenUrl));
  const { GMAIL_OAUTH_CLIENT_ID: clientId, GMAIL_OAUTH_CLIENT_SECRET: clientSecret } = values;
  if ((clientId === undefined) !== (clientSecret === undefined))
    throw new InvalidValue('--client-id and --client-secret, or their variables, must be set together.');
  const client = clientId && clientSecret ? { clientId, clientSecret, tokenUri: null } : readLoginFile(file);
  if (client === null) throw new InvalidValue(CREATE_CLIENT);
  return {
    clientId: client.clientId,
    clientSecret: client.clientSecret,
    authUrl: GOOGLE_AUTH_URL,
    tokenUrl: tokenUrl ?? client.tokenUri ?? defaultOf('GMAIL_OAUTH_TOKEN_URL'),
  };
}

/** Reads and parses a file. Adds the name of its option to an error. */
export function readOptionFile<T>(option: string, path: string, parse: (text: string) => T): T {
  try {
    return parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof InvalidValue) throw new InvalidValue(`${option}: ${error.message}`);
    if (error instanceof Error && 'syscall' in error)
      throw new InvalidValue(`${option}: ${path} cannot be read: ${reasonOf(error)}.`);
    throw error;
  }
}

function parsePort(text: string): number {
  try {
    return parseWholeNumber(text, 0, 65_535);
  } catch (error) {
    if (error instanceof InvalidValue) throw new InvalidValue(`--port: ${error.message}`);
    throw error;
  }
}
