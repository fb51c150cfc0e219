import { z } from 'zod';
import type { ReadCredentials } from '../core/accounts/credentials.ts';
import { type Address, isPersonalGmail, parseAddress } from '../core/message/address.ts';
import type { Problem, Setting } from './environment.ts';
import {
  createCredentialsReader,
  howToLogIn,
  LOGIN_FIELDS,
  type LoginField,
  type LoginSettings,
  parseLogin,
} from './login-config.ts';
import { defaultOf, optional, parseSettings, required } from './setting-schema.ts';
import { parseEmailSetting, parsePercentage, parseWholeNumber, splitList } from './value-parsers.ts';

/** The configuration of one sending account. */
export interface AccountConfig {
  readonly user: string;
  /** Null only if every server is `tls: 'never'`. */
  readonly credentials: ReadCredentials | null;
  /** The default From. The account owns this address like an alias. */
  readonly from: Address;
  /** Its verified "Send mail as" addresses, in canonical form. */
  readonly aliases: readonly string[];
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
  ...limits.shape,
});

export type AccountField = keyof typeof account.shape | LoginField;
/** The settings of one account. The variable of each is `GMAIL_` and its name in upper case. */
export const ACCOUNT_FIELDS: readonly AccountField[] = [...account.keyof().options, ...LOGIN_FIELDS];
export type AccountSettings = Readonly<Record<AccountField, Setting>>;

/** Configuration outside an account that its settings depend on. */
export interface AccountContext {
  /** False if no server requires a login. Accounts then need no credentials. */
  readonly loginRequired: boolean;
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
  const login = parseLogin(settings, context.tokenUrl);
  problems.push(...login.problems);
  if (context.loginRequired && login.credentials === null && login.problems.length === 0) {
    problems.push({ variable: settings.app_password.label, message: howToLogIn(settings) });
  }
  if (values === null || problems.length > 0) return { account: null, problems };
  const credentials =
    login.credentials && createCredentialsReader(login.credentials, reread, context.tokenUrl);
  return {
    account: {
      user: values.user,
      credentials,
      from: values.from ?? { email: values.user, name: null },
      aliases: values.aliases ?? [],
      ...toLimits(values, context.limits),
    },
    problems,
  };
}

/**
 * Returns the limits of an account. The defaults are Google's published limits for personal and
 * Workspace accounts (support.google.com/a/answer/166852).
 */
function toLimits(values: z.infer<typeof account>, common: Limits): Pick<AccountConfig, 'daily' | 'reserve'> {
  const defaults = isPersonalGmail(values.user)
    ? { messages: 500, recipients: 500 }
    : { messages: 2000, recipients: 10_000 };
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

function parseReserve(text: string): number {
  return parsePercentage(text, MAX_RESERVE_PERCENT);
}
