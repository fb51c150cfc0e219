import { z } from 'zod';
import { type ApiKey, SCOPES } from '../core/auth/caller.ts';
import { parsePatterns } from './address-patterns.ts';
import { DEFAULT_SCOPES, KEY_NAME, parseSecret } from './api-key-config.ts';
import { readSetting } from './environment.ts';
import { parseJsonList, toProblems } from './json-list.ts';
import { parsed } from './setting-schema.ts';
import { InvalidValue, parseRate } from './value-parsers.ts';
import { parseWebhookSecrets, parseWebhookUrl } from './webhook-config.ts';

const EXAMPLE = '[{"name": "crm", "secret_file": "/run/secrets/crm"}]';
const HOW_TO_NAME = 'It is required: 1 to 64 letters, digits, dots, hyphens or underscores, as a string.';
const HOW_TO_SCOPE = `It must be a list of at least one of ${SCOPES.join(', ')}.`;
const HOW_TO_LIMIT = 'It must be a whole number of at least 1, without quotes.';

const text = z.string('It must be a string.');
const patterns = z
  .array(
    z.string('It must be a list of strings.'),
    'It must be a list of addresses, and of domains as @example.com.',
  )
  .min(1, 'It is empty, which would forbid everything: remove it, or list the allowed addresses.')
  .transform(parsed(parsePatterns));

/** One key in the JSON form of API_KEYS. */
const keyEntry = z.strictObject({
  name: z.string(HOW_TO_NAME).regex(KEY_NAME, HOW_TO_NAME),
  secret: text.optional(),
  secret_file: text.optional(),
  scopes: z
    .array(z.enum(SCOPES, HOW_TO_SCOPE), HOW_TO_SCOPE)
    .min(1, HOW_TO_SCOPE)
    .transform((scopes) => [...new Set(scopes)])
    .optional(),
  allowed_from: patterns.optional(),
  allowed_recipients: patterns.optional(),
  rate_limit: text.transform(parsed(parseRate)).optional(),
  daily_limit: z.int(HOW_TO_LIMIT).min(1, HOW_TO_LIMIT).optional(),
  test: z.boolean('It must be true or false, without quotes.').optional(),
  webhook_url: text.transform(parsed(parseWebhookUrl)).optional(),
  webhook_secret: text.transform(parsed(parseWebhookSecrets)).optional(),
});
const FIELDS: readonly string[] = keyEntry.keyof().options;

/** One entry of API_KEYS: a key, or the problems of the entry. */
export type KeyEntry =
  | {
      readonly kind: 'key';
      readonly key: ApiKey;
      /** Whether its secret is stored in its own file. */
      readonly inFile: boolean;
    }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

/**
 * Returns the entries of the JSON form of API_KEYS, in their order.
 *
 * @throws {InvalidValue} If the text is not a JSON list, or the list is empty.
 */
export function parseApiKeysJson(json: string): KeyEntry[] {
  return parseJsonList(json, 'key', EXAMPLE).map(toEntry);
}

function toEntry(entry: unknown): KeyEntry {
  const { data, error } = keyEntry.safeParse(entry);
  if (error) return { kind: 'invalid', problems: toProblems(error, FIELDS, 'a name and a secret') };
  const { label, text, problem, reread } = readSetting(
    { secret: data.secret, secret_file: data.secret_file },
    'secret',
    'secret_file',
  );
  try {
    if (text === undefined)
      throw new InvalidValue(
        problem ?? 'It is required, or a secret_file: "secret": "$(openssl rand -hex 24)".',
      );
    return { kind: 'key', key: toKey(data, parseSecret(text)), inFile: reread !== undefined };
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    return { kind: 'invalid', problems: [`${label}: ${error.message}`] };
  }
}

function toKey(data: z.infer<typeof keyEntry>, digest: Uint8Array): ApiKey {
  return {
    name: data.name,
    digest,
    scopes: data.scopes ?? DEFAULT_SCOPES,
    allowedFrom: data.allowed_from ?? null,
    allowedRecipients: data.allowed_recipients ?? null,
    rateLimit: data.rate_limit ?? null,
    dailyLimit: data.daily_limit ?? null,
    test: data.test ?? false,
    webhookUrl: data.webhook_url ?? null,
    webhookSecrets: data.webhook_secret ?? null,
  };
}
