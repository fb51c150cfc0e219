import { z } from 'zod';
import { variableOf } from '../config/accounts-config.ts';
import { type Environment, findUncheckedTls, isSet, readSettings } from '../config/environment.ts';
import { LOGIN_FIELDS } from '../config/login-config.ts';
import { optional, parseSettings } from '../config/setting-schema.ts';
import { logsIn, parseSmtpUrl, type SmtpServer } from '../config/smtp-url.ts';
import { InvalidValue, parseEhloName, parseEmailSetting } from '../config/value-parsers.ts';
import { isPersonalGmail } from '../core/message/address.ts';

/** The command line of `outtray init`. */
export interface InitFlags {
  readonly user?: string | undefined;
  readonly 'app-password-file'?: string | undefined;
  readonly 'client-file'?: string | undefined;
  readonly paste?: boolean | undefined;
  readonly port?: string | undefined;
  readonly 'service-account'?: string | undefined;
  readonly relay?: boolean | undefined;
  readonly compose?: boolean | undefined;
  readonly 'send-to'?: string | undefined;
}

export type LoginKind = 'app_password' | 'oauth' | 'service_account' | 'relay';

export interface InitOptions {
  readonly flags: InitFlags;
  /** Null: not given. */
  readonly user: string | null;
  /** Null: not given. */
  readonly login: LoginKind | null;
  /** Recipient of a test message. Null: not given. */
  readonly sendTo: string | null;
  /** SMTP_URL. Null: it is not set. */
  readonly servers: readonly SmtpServer[] | null;
  /** SMTP_EHLO_NAME. */
  readonly ehloName: string | undefined;
}

const variables = z.object({
  GMAIL_USER: optional((text) => parseEmailSetting(text, (reason) => reason)),
  SMTP_URL: optional(parseSmtpUrl),
  SMTP_EHLO_NAME: optional(parseEhloName),
});

/** Variables that would win over what init writes, or contradict it. */
const REPLACED = [
  'API_KEYS',
  'GMAIL_ACCOUNTS',
  ...LOGIN_FIELDS.filter((field) => field !== 'app_password').map(variableOf),
] as const;

/**
 * Combines the command line with the environment.
 *
 * @throws {InvalidValue} naming each option or variable that is invalid or contradicts another
 */
export function readInitOptions(flags: InitFlags, env: Environment): InitOptions {
  const settings = readSettings(env);
  const { values, problems } = parseSettings(variables, settings);
  const replaced = REPLACED.filter((name) => isSet(settings[name])).map((name) => ({
    variable: settings[name].label,
    message: 'It is set in the environment, which wins over the file that init writes. Unset it.',
  }));
  const all = [...findUncheckedTls(env), ...problems, ...replaced];
  if (values === null || all.length > 0)
    throw new InvalidValue(all.map(({ variable, message }) => `${variable}: ${message}`).join('\n'));
  const { GMAIL_USER, SMTP_URL: servers = null, SMTP_EHLO_NAME: ehloName } = values;
  const user = parseAddressFlag('user', flags);
  if (user !== null && GMAIL_USER !== undefined && user !== GMAIL_USER)
    throw new InvalidValue(
      '--user: The environment sets GMAIL_USER to another address, and wins over .env. Unset it.',
    );
  const { GMAIL_APP_PASSWORD: password } = settings;
  const login =
    findLogin(flags, isSet(password) ? password.label : null) ?? (flags.compose ? 'app_password' : null);
  if (login !== null) checkLogin(login, flags, servers);
  return {
    flags,
    user: user ?? GMAIL_USER ?? null,
    login,
    sendTo: parseAddressFlag('send-to', flags),
    servers,
    ehloName,
  };
}

function parseAddressFlag(name: 'user' | 'send-to', flags: InitFlags): string | null {
  const text = flags[name];
  return text === undefined ? null : parseEmailSetting(text, (reason) => `--${name}: ${reason}`);
}

/** @throws {InvalidValue} if several logins are given */
function findLogin(flags: InitFlags, appPasswordVariable: string | null): LoginKind | null {
  const given: { readonly label: string; readonly kind: LoginKind }[] = [];
  if (flags['app-password-file'] !== undefined)
    given.push({ label: '--app-password-file', kind: 'app_password' });
  if (appPasswordVariable !== null) given.push({ label: appPasswordVariable, kind: 'app_password' });
  if (flags['client-file'] !== undefined) given.push({ label: '--client-file', kind: 'oauth' });
  if (flags['service-account'] !== undefined)
    given.push({ label: '--service-account', kind: 'service_account' });
  if (flags.relay) given.push({ label: '--relay', kind: 'relay' });
  if (given.length > 1)
    throw new InvalidValue(
      `${given.map(({ label }) => label).join(' and ')} cannot be combined: an account has one way to log in.`,
    );
  return given[0]?.kind ?? null;
}

/** @throws {InvalidValue} if other options contradict the login */
function checkLogin(kind: LoginKind, flags: InitFlags, servers: InitOptions['servers']): void {
  if (flags.compose && kind !== 'app_password')
    throw new InvalidValue(
      '--compose: docker-compose.yml logs in with an app password. docs/guides/docker.md shows how to use another login.',
    );
  if ((flags.paste || flags.port !== undefined) && kind !== 'oauth')
    throw new InvalidValue('--paste and --port are for OAuth: they need --client-file.');
  if (!accepts(servers, kind))
    throw new InvalidValue(
      kind === 'relay'
        ? 'SMTP_URL: A server in it takes a login. Remove it, or append ?login=none to each server.'
        : 'SMTP_URL: No server in it takes a login. Remove it, or use --relay.',
    );
}

/** Whether the account can log in this way. The relay and service accounts are for a Workspace. */
export function isFor(kind: LoginKind, user: string): boolean {
  return !isPersonalGmail(user) || kind === 'app_password' || kind === 'oauth';
}

/** Whether an account with this login can use the servers. */
export function accepts(servers: InitOptions['servers'], kind: LoginKind): boolean {
  return servers === null || servers.some(logsIn) === (kind !== 'relay');
}
