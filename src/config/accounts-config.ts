import { toMailboxKey } from '../core/message/address.ts';
import {
  ACCOUNT_FIELDS,
  type AccountConfig,
  type AccountContext,
  type AccountField,
  type AccountSettings,
  limits,
  parseAccount,
} from './account-config.ts';
import { type ListedAccount, parseAccountList } from './account-list.ts';
import { isSet, type Problem, type Setting, type Settings } from './environment.ts';
import { LOGIN_FIELDS, type LoginSettings } from './login-config.ts';
import { parseSettings } from './schema.ts';
import { InvalidValue } from './values.ts';
import type { VariableName } from './variables.ts';

export interface ParsedAccounts {
  /** Those that can be used: all of them if there is no problem. */
  readonly accounts: readonly AccountConfig[];
  readonly problems: readonly Problem[];
}

/** The sending accounts: the one that GMAIL_USER names, or those that GMAIL_ACCOUNTS lists. */
export function parseAccounts(settings: Settings, context: Omit<AccountContext, 'limits'>): ParsedAccounts {
  const variables = Object.fromEntries(
    ACCOUNT_FIELDS.map((field) => [field, settings[variableOf(field)]]),
  ) as AccountSettings;
  if (!isSet(settings.GMAIL_ACCOUNTS)) {
    const { account, problems } = parseAccount(variables, () => readAgain(variables), {
      ...context,
      limits: {},
    });
    return { accounts: account === null ? [] : [account], problems };
  }
  const common = parseSettings(limits, variables);
  const list = parseList(settings.GMAIL_ACCOUNTS, { ...context, limits: common.values ?? {} });
  return {
    accounts: list.accounts,
    problems: [...refuseBoth(settings.GMAIL_ACCOUNTS, variables), ...list.problems, ...common.problems],
  };
}

function variableOf(field: AccountField): VariableName {
  return `GMAIL_${field.toUpperCase() as Uppercase<AccountField>}`;
}

/** Which of the two should count could only be guessed. Limits may stand beside the list: they are those of accounts without their own. */
function refuseBoth(list: Setting, variables: AccountSettings): Problem[] {
  const labels = ACCOUNT_FIELDS.filter(
    (field) => !Object.hasOwn(limits.shape, field) && isSet(variables[field]),
  ).map((field) => variables[field].label);
  if (labels.length === 0) return [];
  return [
    {
      variable: list.label,
      message: `It cannot stand beside ${labels.join(', ')}: put that account into the list, or remove the list.`,
    },
  ];
}

function parseList(list: Setting, context: AccountContext): ParsedAccounts {
  const problems: Problem[] = [];
  const accounts: AccountConfig[] = [];
  const blame = (message: string) => problems.push({ variable: list.label, message });
  const entries = parseEntries(list, blame);
  entries.forEach((entry, i) => {
    const which = `Account ${i + 1}`;
    if ('problems' in entry) {
      for (const problem of entry.problems) blame(`${which}: ${problem}`);
      return;
    }
    const parsed = parseAccount(entry.settings, () => readListedAgain(list, entry.settings), context);
    for (const { variable, message } of parsed.problems) blame(`${which}: ${variable}: ${message}`);
    if (parsed.account !== null) accounts.push(parsed.account);
  });
  refuseTwins(entries.map(userOf), blame);
  return { accounts, problems };
}

function parseEntries(list: Setting, blame: (message: string) => void): ListedAccount[] {
  try {
    if (list.text !== undefined) return parseAccountList(list.text);
    blame(list.problem ?? '');
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    blame(error.message);
  }
  return [];
}

/** Equal for what is one account. */
function userOf(entry: ListedAccount): string | undefined {
  const text = 'settings' in entry ? entry.settings.user.text : undefined;
  return text === undefined ? undefined : toMailboxKey(text);
}

function refuseTwins(users: readonly (string | undefined)[], blame: (message: string) => void): void {
  users.forEach((user, i) => {
    const first = users.indexOf(user);
    if (user !== undefined && first < i)
      blame(`Accounts ${first + 1} and ${i + 1} have the same user: put their settings into one.`);
  });
}

/** What stands in files, as it is now. Null if nothing does. */
function readAgain(settings: LoginSettings): LoginSettings | null {
  if (LOGIN_FIELDS.every((field) => settings[field].again === undefined)) return null;
  return {
    ...settings,
    ...Object.fromEntries(LOGIN_FIELDS.map((field) => [field, settings[field].again?.() ?? settings[field]])),
  };
}

/** If the list is a file too, the account may have other secrets, or other files, than it began with. */
function readListedAgain(list: Setting, first: AccountSettings): LoginSettings | null {
  if (list.again === undefined) return readAgain(first);
  const user = userOf({ settings: first });
  const entry = parseEntries(list.again(), () => {}).find((one) => userOf(one) === user);
  return entry !== undefined && 'settings' in entry ? entry.settings : null;
}
