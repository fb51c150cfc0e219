import { z } from 'zod';
import { ACCOUNT_FIELDS, type AccountSettings } from './account-config.ts';
import { readSetting } from './environment.ts';
import { parseJsonList, toProblems } from './json-list.ts';

const EXAMPLE = '[{"user": "you@gmail.com", "app_password": "abcd efgh ijkl mnop"}]';

const text = z.string('It must be a string.').optional();
const count = z.number('It must be a number, without quotes.').optional();

/** One account as GMAIL_ACCOUNTS writes it; what its texts say is judged later, as that of variables is. */
const listed = z.strictObject({
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
  service_account: z
    .union(
      [z.string(), z.record(z.string(), z.unknown())],
      'It must be the JSON key: an object, or its text.',
    )
    .optional(),
  service_account_file: text,
  from: text,
  aliases: z.array(z.string('It must be a list of strings.'), 'It must be a list of addresses.').optional(),
  daily_messages: count,
  daily_recipients: count,
  reserve: text,
});
const FIELDS: readonly string[] = listed.keyof().options;

/** One entry of the list: its settings, or what is wrong with its form. */
export type ListedAccount = { readonly settings: AccountSettings } | { readonly problems: readonly string[] };

/**
 * The entries of GMAIL_ACCOUNTS, in their order.
 *
 * @throws {InvalidValue} when it is not a list of anything
 */
export function parseAccountList(json: string): ListedAccount[] {
  return parseJsonList(json, 'account', EXAMPLE).map(toListed);
}

function toListed(entry: unknown): ListedAccount {
  const { data, error } = listed.safeParse(entry);
  if (error) return { problems: toProblems(error, FIELDS, 'a user and a way to log in') };
  const texts = Object.fromEntries(Object.entries(data).map(([field, value]) => [field, toText(value)]));
  const settings = ACCOUNT_FIELDS.map((field) => {
    const file = `${field}_file`;
    return [field, readSetting(texts, field, FIELDS.includes(file) ? file : null)];
  });
  return { settings: Object.fromEntries(settings) as AccountSettings };
}

function toText(value: unknown): string {
  if (Array.isArray(value)) return value.join(',');
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
