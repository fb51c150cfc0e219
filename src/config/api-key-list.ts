import { z } from 'zod';
import { type ApiKey, SCOPES } from '../core/auth/caller.ts';
import { DEFAULT_SCOPES, KEY_NAME, parseSecret } from './api-key.ts';
import { readSetting } from './environment.ts';
import { parseJsonList, toProblems } from './json-list.ts';
import { parsePatterns } from './patterns.ts';
import { parsed } from './schema.ts';
import { InvalidValue, parseRate } from './values.ts';
import { parseWebhookUrl } from './webhook-config.ts';

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
  .min(1, 'It is empty, which would forbid everything: leave it out, or name what is allowed.')
  .transform(parsed(parsePatterns));

/** One key as the JSON form of API_KEYS writes it. */
const listed = z.strictObject({
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
});
const FIELDS: readonly string[] = listed.keyof().options;

/** One entry of API_KEYS: a key, and whether its secret stands in a file; or what is wrong with it. */
export type ListedKey =
  | { readonly key: ApiKey; readonly inFile: boolean }
  | { readonly problems: readonly string[] };

/**
 * The entries of the JSON form of API_KEYS, in their order.
 *
 * @throws {InvalidValue} when it is not a list of anything
 */
export function parseApiKeyList(json: string): ListedKey[] {
  return parseJsonList(json, 'key', EXAMPLE).map(toListed);
}

function toListed(entry: unknown): ListedKey {
  const { data, error } = listed.safeParse(entry);
  if (error) return { problems: toProblems(error, FIELDS, 'a name and a secret') };
  const { label, text, problem, again } = readSetting(
    { secret: data.secret, secret_file: data.secret_file },
    'secret',
    'secret_file',
  );
  try {
    if (text === undefined)
      throw new InvalidValue(
        problem ?? 'It is required, or a secret_file: "secret": "$(openssl rand -hex 24)".',
      );
    return { key: toKey(data, parseSecret(text)), inFile: again !== undefined };
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    return { problems: [`${label}: ${error.message}`] };
  }
}

function toKey(data: z.infer<typeof listed>, digest: Uint8Array): ApiKey {
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
  };
}
