import type { ApiKey } from '../core/auth/caller.ts';
import { DEFAULT_SCOPES, KEY_NAME, parseSecret, UNRESTRICTED } from './api-key.ts';
import { type ListedKey, parseApiKeyList } from './api-key-list.ts';
import type { Problem, Setting } from './environment.ts';
import { InvalidValue, splitList } from './values.ts';

/** The mend when there is no key. */
const HOW_TO_SET = 'It is required. Set it like this: API_KEYS="crm:$(openssl rand -hex 24)"';

export interface ParsedApiKeys {
  /** Those that can be used: all of them if there is no problem. */
  readonly keys: readonly ApiKey[];
  readonly problems: readonly Problem[];
  /** Reads the files again that keys stand in; null if they stand in none. */
  readonly again: (() => ParsedApiKeys) | null;
}

/**
 * The keys of API_KEYS: `name:secret` pairs, or a list in JSON.
 *
 * @param refuseWebhook says what is wrong with where events are to go, as the rest of the configuration has it; null if nothing is
 */
export function parseApiKeys(setting: Setting, refuseWebhook: (url: string) => string | null): ParsedApiKeys {
  const problems: Problem[] = [];
  const blame = (message: string) => problems.push({ variable: setting.label, message });
  const entries = parseEntries(setting, blame);
  entries.forEach((entry, i) => {
    const found = 'problems' in entry ? entry.problems : judgeWebhook(entry.key, refuseWebhook);
    for (const problem of found) blame(`Key ${i + 1}: ${problem}`);
  });
  refuseTwins(entries, 'name', ({ name }) => name, blame);
  refuseTwins(entries, 'secret', ({ digest }) => Buffer.from(digest).toString('hex'), blame);
  const inFile = setting.again !== undefined || entries.some((entry) => 'key' in entry && entry.inFile);
  return {
    keys: entries.flatMap((entry) => ('key' in entry ? [entry.key] : [])),
    problems,
    again: inFile ? () => parseApiKeys(setting.again?.() ?? setting, refuseWebhook) : null,
  };
}

function parseEntries({ text, problem }: Setting, blame: (message: string) => void): ListedKey[] {
  try {
    if (text === undefined) throw new InvalidValue(problem ?? HOW_TO_SET);
    if (/^[[{]/.test(text)) return parseApiKeyList(text);
    const pairs = splitList(text);
    if (pairs.length === 0) throw new InvalidValue(HOW_TO_SET);
    return pairs.map(parsePair);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    blame(error.message);
    return [];
  }
}

/**
 * `name:secret` or `name:sha256:<hex>`, either with `:admin` after it. No part of it is repeated: where it is malformed, none is sure not to be
 * the secret.
 */
function parsePair(pair: string): ListedKey {
  const [name = '', ...parts] = pair.split(':');
  const secret = parts.splice(0, parts[0] === 'sha256' ? 2 : 1).join(':');
  const isAdmin = parts[0] === 'admin';
  try {
    if (!pair.includes(':'))
      throw new InvalidValue('It has no colon: write name:secret, such as crm:$(openssl rand -hex 24).');
    if (!KEY_NAME.test(name)) {
      throw new InvalidValue(
        'It has no usable name: before the first colon put 1 to 64 letters, digits, dots, hyphens or underscores.',
      );
    }
    const digest = parseSecret(secret);
    if (parts.length > (isAdmin ? 1 : 0)) {
      throw new InvalidValue(
        'It has something other than :admin after its secret: a secret itself has no colon.',
      );
    }
    return {
      key: { ...UNRESTRICTED, name, digest, scopes: isAdmin ? ['admin'] : DEFAULT_SCOPES },
      inFile: false,
    };
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    return { problems: [error.message] };
  }
}

function judgeWebhook({ webhookUrl }: ApiKey, refuse: (url: string) => string | null): string[] {
  const refusal = webhookUrl && refuse(webhookUrl);
  return refusal ? [`webhook_url: ${refusal}`] : [];
}

function refuseTwins(
  entries: readonly ListedKey[],
  what: string,
  of: (key: ApiKey) => string,
  blame: (message: string) => void,
): void {
  const values = entries.map((entry) => ('key' in entry ? of(entry.key) : null));
  values.forEach((value, i) => {
    const first = values.indexOf(value);
    if (value !== null && first < i)
      blame(`Keys ${first + 1} and ${i + 1} have the same ${what}: give each its own.`);
  });
}
