import { z } from 'zod';
import { ACCOUNT_FIELDS, type AccountSettings } from './account-config.ts';
import { readSetting } from './environment.ts';
import { parseJsonList, toProblems } from './json-list.ts';

const EXAMPLE = '[{"user": "you@gmail.com", "app_password": "abcd efgh ijkl mnop"}]';

const text = z.string('It must be a string.').optional();
const count = z.number('It must be a number, without quotes.').optional();

function jsonObject(message: string) {
  return z.union([z.string(), z.record(z.string(), z.unknown())], message).optional();
}

/**
 * One account in GMAIL_ACCOUNTS. The values themselves are parsed later, like those of variables.
 */
const accountEntry = z.strictObject({
  user: z
    .string('It is required: the full address of the account, as a string.')
    .regex(/\S/, 'It is empty: write the full address of the account.'),
  app_password: text,
  app_password_file: text,
  oauth_client_id: text,
  oauth_client_secret: text,
  oauth_client_secret_file: text,
  oauth_refresh_token: text,
  oauth_refresh_token_file: text,
  oauth: jsonObject('It must be a login that outtray login wrote: an object, or its text.'),
  oauth_file: text,
  service_account: jsonObject('It must be the JSON key: an object, or its text.'),
  service_account_file: text,
  from: text,
  aliases: z.array(z.string('It must be a list of strings.'), 'It must be a list of addresses.').optional(),
  domains: z.array(z.string('It must be a list of strings.'), 'It must be a list of domains.').optional(),
  daily_messages: count,
  daily_recipients: count,
  reserve: text,
});
const FIELDS: readonly string[] = accountEntry.keyof().options;

/** One entry of the list: its settings, or the problems of its form. */
export type AccountEntry =
  | { readonly kind: 'settings'; readonly settings: AccountSettings }
  | { readonly kind: 'malformed'; readonly problems: readonly string[] };

/**
 * Returns the entries of GMAIL_ACCOUNTS, in their order.
 *
 * @throws {InvalidValue} If the text is not a JSON list, or the list is empty.
 */
export function parseAccountsJson(json: string): AccountEntry[] {
  return parseJsonList(json, 'account', EXAMPLE).map(toEntry);
}

function toEntry(entry: unknown): AccountEntry {
  const { data, error } = accountEntry.safeParse(entry);
  if (error) return { kind: 'malformed', problems: toProblems(error, FIELDS, 'a user and a way to log in') };
  const texts = Object.fromEntries(Object.entries(data).map(([field, value]) => [field, toText(value)]));
  const settings = ACCOUNT_FIELDS.map((field) => {
    const file = `${field}_file`;
    return [field, readSetting(texts, field, FIELDS.includes(file) ? file : null)];
  });
  return { kind: 'settings', settings: Object.fromEntries(settings) as AccountSettings };
}

/** Returns a JSON value as the text of a variable. */
function toText(value: unknown): string {
  if (Array.isArray(value)) return value.join(',');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
