import { z } from 'zod';
import type { ReadCredentials } from '../core/accounts/credentials.ts';
import { type Address, isPersonalGmail, parseAddress } from '../core/message/address.ts';
import { isSet, type Problem, type Setting } from './environment.ts';
import {
  createCredentialsReader,
  howToLogIn,
  LOGIN_FIELDS,
  type LoginField,
  type LoginSettings,
  parseLogin,
} from './login-config.ts';
import { defaultOf, optional, parseSettings, required } from './setting-schema.ts';
import { isGmail, isRelay, logsIn, RELAY_URL, type SmtpServer } from './smtp-url.ts';
import {
  parseDomain,
  parseEmailSetting,
  parsePercentage,
  parseWholeNumber,
  splitList,
} from './value-parsers.ts';

/** The configuration of one sending account. */
export interface AccountConfig {
  readonly user: string;
  /** Null only if no server requires a login. */
  readonly credentials: ReadCredentials | null;
  /** The default From. The account owns this address like an alias. */
  readonly from: Address;
  /** Its verified "Send mail as" addresses, in canonical form. */
  readonly aliases: readonly string[];
  /** Domains of the Workspace, in canonical form. The account owns every address in them. */
  readonly domains: readonly string[];
  /** Its limits for a rolling 24 h. */
  readonly daily: { readonly messages: number; readonly recipients: number };
  /** Share of the limits, 0 to 1, that only `"priority": "high"` may use. */
  readonly reserve: number;
}

const HOW_TO_SET_USER =
  'It is required. Set it to the full address of the account: GMAIL_USER=you@gmail.com (for Workspace: name@yourdomain; for several accounts: GMAIL_ACCOUNTS)';
/** More than the daily limit of any Google account. */
const MAX_DAILY = 10_000_000;
const MAX_RESERVE_PERCENT = 90;

/** Settings of an account that can also be set once for all accounts. */
export const limits = z.object({
  daily_messages: optional((text) => parseWholeNumber(text, 1, MAX_DAILY)),
  daily_recipients: optional((text) => parseWholeNumber(text, 1, MAX_DAILY)),
  reserve: optional(parseReserve),
});
export type Limits = z.infer<typeof limits>;

const account = z.object({
  user: required(HOW_TO_SET_USER, parseUser),
  from: optional(parseAddress),
  aliases: optional(parseAliases),
  domains: optional(parseDomains),
  ...limits.shape,
});

export type AccountField = keyof typeof account.shape | LoginField;
/** The settings of one account. The variable of each is `GMAIL_` and its name in upper case. */
export const ACCOUNT_FIELDS: readonly AccountField[] = [...account.keyof().options, ...LOGIN_FIELDS];
export type AccountSettings = Readonly<Record<AccountField, Setting>>;

/** Configuration outside an account that its settings depend on. */
export interface AccountContext {
  /** Null if SMTP_URL is invalid. */
  readonly servers: readonly SmtpServer[] | null;
  /** GMAIL_OAUTH_TOKEN_URL, if it is set. */
  readonly tokenUrl: string | undefined;
  /** Limits of accounts that have none of their own. */
  readonly limits: Limits;
}

/**
 * Parses one account, whether set by variables or in GMAIL_ACCOUNTS.
 *
 * @param reread Returns the current login settings, or null if none are stored in files.
 */
export function parseAccount(
  settings: AccountSettings,
  reread: () => LoginSettings | null,
  context: AccountContext,
): { account: AccountConfig | null; problems: Problem[] } {
  const { values, problems } = parseSettings(account, settings);
  const loginContext = { user: values?.user, tokenUrl: context.tokenUrl };
  const login = parseLogin(settings, loginContext);
  const unusedLogin = findUnusedLogin(settings, context.servers ?? []);
  problems.push(...(unusedLogin.length > 0 ? unusedLogin : login.problems));
  problems.push(...findUnusableDomains(settings, context.servers ?? []));
  if (isLoginRequired(context.servers) && login.credentials === null && login.problems.length === 0) {
    problems.push({ variable: settings.app_password.label, message: howToLogIn(settings) });
  }
  if (values === null || problems.length > 0) return { account: null, problems };
  const credentials = login.credentials && createCredentialsReader(login.credentials, reread, loginContext);
  return {
    account: {
      user: values.user,
      credentials,
      from: values.from ?? { email: values.user, name: null },
      aliases: values.aliases ?? [],
      domains: values.domains ?? [],
      ...toLimits(values, context),
    },
    problems,
  };
}

/** Whether a server requires a login. True if SMTP_URL is invalid. */
function isLoginRequired(servers: AccountContext['servers']): boolean {
  return servers === null || servers.some(logsIn);
}

/** Reports login settings that contradict `login=none`. */
function findUnusedLogin(settings: AccountSettings, servers: readonly SmtpServer[]): Problem[] {
  if (servers.some(logsIn) || !servers.some(({ login }) => login === 'none')) return [];
  const message =
    'It contradicts login=none in SMTP_URL, which means no login. Remove it, or remove login=none.';
  return LOGIN_FIELDS.filter((field) => isSet(settings[field])).map((field) => ({
    variable: settings[field].label,
    message,
  }));
}

/** Reports `domains` if a server replaces the addresses in them. */
function findUnusableDomains(settings: AccountSettings, servers: readonly SmtpServer[]): Problem[] {
  const gmail = servers.find(isGmail);
  if (!gmail || !isSet(settings.domains)) return [];
  const message = `It needs the Workspace relay (SMTP_URL=${RELAY_URL}): ${gmail.host} replaces a From that is not a verified address. List verified addresses in ${settings.aliases.label} instead.`;
  return [{ variable: settings.domains.label, message }];
}

/**
 * Google's published limits for the Workspace relay (support.google.com/a/answer/2956491), and for
 * personal and Workspace accounts (support.google.com/a/answer/166852).
 */
const DAILY_LIMITS = {
  relay: { messages: 10_000, recipients: 10_000 },
  personal: { messages: 500, recipients: 500 },
  workspace: { messages: 2000, recipients: 10_000 },
};

function toLimits(
  values: z.infer<typeof account>,
  { servers, limits: common }: AccountContext,
): Pick<AccountConfig, 'daily' | 'reserve'> {
  const isPersonal = isPersonalGmail(values.user);
  const usesRelay = servers?.every(isRelay) ?? false;
  const defaults = DAILY_LIMITS[usesRelay ? 'relay' : isPersonal ? 'personal' : 'workspace'];
  return {
    daily: {
      messages: values.daily_messages ?? common.daily_messages ?? defaults.messages,
      recipients: values.daily_recipients ?? common.daily_recipients ?? defaults.recipients,
    },
    reserve: values.reserve ?? common.reserve ?? parseReserve(defaultOf('GMAIL_RESERVE')),
  };
}

/**
 * Parses the account to log in as. Gmail requires the whole address, not only the part before the
 * @.
 */
function parseUser(text: string): string {
  const fix = 'It must be the full address of the account, also for Workspace domains: name@yourdomain.';
  return parseEmailSetting(text, (reason) => `${reason} ${fix}`);
}

function parseAliases(text: string): string[] {
  return [
    ...new Set(
      splitList(text).map((entry, i) => parseEmailSetting(entry, (reason) => `Alias ${i + 1}: ${reason}`)),
    ),
  ];
}

function parseDomains(text: string): string[] {
  const entries = splitList(text).map((entry, i) =>
    parseDomain(entry.replace(/^@/, ''), () => `Domain ${i + 1}: It must be a domain, such as example.com.`),
  );
  return [...new Set(entries)];
}

function parseReserve(text: string): number {
  return parsePercentage(text, MAX_RESERVE_PERCENT);
}
