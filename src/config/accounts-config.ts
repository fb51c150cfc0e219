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
import { type AccountEntry, parseAccountsJson } from './accounts-json.ts';
import { isSet, type Problem, type Setting, type Settings } from './environment.ts';
import { LOGIN_FIELDS, type LoginSettings } from './login-config.ts';
import { parseSettings } from './setting-schema.ts';
import { InvalidValue } from './value-parsers.ts';
import type { VariableName } from './variables.ts';

export interface ParsedAccounts {
  /** The valid accounts: all of them if there is no problem. */
  readonly accounts: readonly AccountConfig[];
  readonly problems: readonly Problem[];
  /** Whether any of their settings is in a file. */
  readonly inFile: boolean;
}

/** Parses the sending accounts: the one in GMAIL_USER, or those in GMAIL_ACCOUNTS. */
export function parseAccounts(settings: Settings, context: Omit<AccountContext, 'limits'>): ParsedAccounts {
  const variables = Object.fromEntries(
    ACCOUNT_FIELDS.map((field) => [field, settings[variableOf(field)]]),
  ) as AccountSettings;
  if (!isSet(settings.GMAIL_ACCOUNTS)) {
    const { account, problems } = parseAccount(variables, () => rereadLogin(variables), {
      ...context,
      limits: {},
    });
    return { accounts: account === null ? [] : [account], problems, inFile: isInFile(variables) };
  }
  const common = parseSettings(limits, variables);
  const list = parseList(settings.GMAIL_ACCOUNTS, { ...context, limits: common.values ?? {} });
  return {
    ...list,
    problems: [...findConflicts(settings.GMAIL_ACCOUNTS, variables), ...list.problems, ...common.problems],
  };
}

/** Returns the variable of a field of an account. */
export function variableOf(field: AccountField): VariableName {
  return `GMAIL_${field.toUpperCase() as Uppercase<AccountField>}`;
}

/**
 * Reports variables of a single account that are set in addition to the list: which of them applies
 * would be a guess. Limits are allowed: they apply to listed accounts without their own.
 */
function findConflicts(list: Setting, variables: AccountSettings): Problem[] {
  const labels = ACCOUNT_FIELDS.filter(
    (field) => !Object.hasOwn(limits.shape, field) && isSet(variables[field]),
  ).map((field) => variables[field].label);
  if (labels.length === 0) return [];
  const message = `It cannot be combined with ${labels.join(', ')}: move that account into the list, or remove the list.`;
  return [{ variable: list.label, message }];
}

function parseList(list: Setting, context: AccountContext): ParsedAccounts {
  const problems: Problem[] = [];
  const accounts: AccountConfig[] = [];
  const report = (message: string) => problems.push({ variable: list.label, message });
  const entries = parseEntries(list, report);
  entries.forEach((entry, i) => {
    const position = `Account ${i + 1}`;
    if (entry.kind === 'malformed') {
      for (const problem of entry.problems) report(`${position}: ${problem}`);
      return;
    }
    const parsed = parseAccount(entry.settings, () => rereadListedLogin(list, entry.settings), context);
    for (const { variable, message } of parsed.problems) report(`${position}: ${variable}: ${message}`);
    if (parsed.account !== null) accounts.push(parsed.account);
  });
  reportDuplicates(entries.map(userOf), report);
  const inFile =
    list.reread !== undefined ||
    entries.some((entry) => entry.kind === 'settings' && isInFile(entry.settings));
  return { accounts, problems, inFile };
}

function isInFile(settings: LoginSettings): boolean {
  return LOGIN_FIELDS.some((field) => settings[field].reread !== undefined);
}

function parseEntries(list: Setting, report: (message: string) => void): AccountEntry[] {
  try {
    if (list.text !== undefined) return parseAccountsJson(list.text);
    report(list.problem ?? '');
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    report(error.message);
  }
  return [];
}

/** Returns a key that is equal for entries of the same account. */
function userOf(entry: AccountEntry): string | undefined {
  const text = entry.kind === 'settings' ? entry.settings.user.text : undefined;
  return text === undefined ? undefined : toMailboxKey(text);
}

function reportDuplicates(users: readonly (string | undefined)[], report: (message: string) => void): void {
  users.forEach((user, i) => {
    const first = users.indexOf(user);
    if (user !== undefined && first < i)
      report(`Accounts ${first + 1} and ${i + 1} have the same user: merge them into one account.`);
  });
}

/** Returns the login settings with those in files read again. Null if none are in files. */
function rereadLogin(settings: LoginSettings): LoginSettings | null {
  if (!isInFile(settings)) return null;
  return {
    ...settings,
    ...Object.fromEntries(
      LOGIN_FIELDS.map((field) => [field, settings[field].reread?.() ?? settings[field]]),
    ),
  };
}

/**
 * Returns the current login settings of a listed account. If the list is a file too, they may have
 * changed there, or name other files.
 */
function rereadListedLogin(list: Setting, first: AccountSettings): LoginSettings | null {
  if (list.reread === undefined) return rereadLogin(first);
  const user = userOf({ kind: 'settings', settings: first });
  const entry = parseEntries(list.reread(), () => {}).find((candidate) => userOf(candidate) === user);
  return entry?.kind === 'settings' ? entry.settings : null;
}
