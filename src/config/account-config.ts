import { z } from 'zod';
import type { ReadCredentials } from '../core/accounts/credentials.ts';
import { type Address, parseAddress } from '../core/message/address.ts';
import type { Problem, Setting } from './environment.ts';
import {
  createCredentialsReader,
  howToLogIn,
  LOGIN_FIELDS,
  type LoginField,
  type LoginSettings,
  parseLogin,
} from './login-config.ts';
import { defaultOf, optional, parseSettings, required } from './schema.ts';
import { parseEmailSetting, parsePercentage, parseWholeNumber, splitList } from './values.ts';

/** One sending account. */
export interface AccountConfig {
  readonly user: string;
  /** Null only if every server is `tls: 'never'`. */
  readonly credentials: ReadCredentials | null;
  /** The default From. Its address counts as one of the account's. */
  readonly from: Address;
  /** Its verified "Send mail as" addresses, in canonical form. */
  readonly aliases: readonly string[];
  /** What it may send in a rolling 24 h. */
  readonly daily: { readonly messages: number; readonly recipients: number };
  /** The part of that, 0 to 1, which only `"priority": "high"` may use. */
  readonly reserve: number;
}

const HOW_TO_SET_USER =
  'It is required: the full address of the account. Set it like this: GMAIL_USER=you@gmail.com (for Workspace: name@yourdomain; for several accounts: GMAIL_ACCOUNTS)';
/** More than any account of Google's may send in a day. */
const MAX_DAILY = 10_000_000;
const MAX_RESERVE_PERCENT = 90;

/** What of an account's settings may also be set once for all accounts. */
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
/** The settings of one account. As a variable each is called `GMAIL_` and its name in upper case. */
export const ACCOUNT_FIELDS: readonly AccountField[] = [...account.keyof().options, ...LOGIN_FIELDS];
export type AccountSettings = Readonly<Record<AccountField, Setting>>;

/** What an account's settings are read with. */
export interface AccountContext {
  /** False if no server is logged in to: then an account needs no way to do so. */
  readonly logsIn: boolean;
  /** Set explicitly, for all accounts. */
  readonly tokenUrl: string | undefined;
  /** For accounts that have none of their own. */
  readonly limits: Limits;
}

/**
 * One account, however its settings were given; or why it cannot be used.
 *
 * @param again gives the settings that log in as they are now, or null
 */
export function parseAccount(
  settings: AccountSettings,
  again: () => LoginSettings | null,
  context: AccountContext,
): { account: AccountConfig | null; problems: Problem[] } {
  const { values, problems } = parseSettings(account, settings);
  const login = parseLogin(settings, context.tokenUrl);
  problems.push(...login.problems);
  if (context.logsIn && login.credentials === null && login.problems.length === 0) {
    problems.push({ variable: settings.app_password.label, message: howToLogIn(settings) });
  }
  if (values === null || problems.length > 0) return { account: null, problems };
  const credentials =
    login.credentials && createCredentialsReader(login.credentials, again, context.tokenUrl);
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

/** Google's published limits differ by kind of account: a personal one, or Workspace (support.google.com/a/answer/166852). */
function toLimits(values: z.infer<typeof account>, common: Limits): Pick<AccountConfig, 'daily' | 'reserve'> {
  const usual = /@(gmail|googlemail)\.com$/.test(values.user)
    ? { messages: 500, recipients: 500 }
    : { messages: 2000, recipients: 10_000 };
  return {
    daily: {
      messages: values.daily_messages ?? common.daily_messages ?? usual.messages,
      recipients: values.daily_recipients ?? common.daily_recipients ?? usual.recipients,
    },
    reserve: values.reserve ?? common.reserve ?? parseReserve(defaultOf('GMAIL_RESERVE')),
  };
}

/** The account to log in as. Gmail wants the whole address, never the part before the @ alone. */
function parseUser(text: string): string {
  const whole = 'It must be the full address of the account, also for Workspace domains: name@yourdomain.';
  return parseEmailSetting(text, (reason) => `${reason} ${whole}`);
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
