import type { ApiKey } from '../core/auth/caller.ts';
import { DEFAULT_SCOPES, KEY_NAME, parseSecret, UNRESTRICTED } from './api-key-config.ts';
import { type KeyEntry, parseApiKeysJson } from './api-keys-json.ts';
import type { Problem, Setting } from './environment.ts';
import { InvalidValue, splitList } from './value-parsers.ts';

const HOW_TO_SET = 'It is required. Set it like this: API_KEYS="crm:$(openssl rand -hex 24)"';

type CheckWebhook = (url: string, ownSecrets: ApiKey['webhookSecrets']) => string | null;

export interface ParsedApiKeys {
  /** The valid keys: all of them if there is no problem. */
  readonly keys: readonly ApiKey[];
  readonly problems: readonly Problem[];
  /** Whether any of them is in a file. */
  readonly inFile: boolean;
}

/**
 * Parses API_KEYS: `name:secret` pairs, or a JSON list.
 *
 * @param checkWebhook Returns the problem of the endpoint of a key with the rest of the
 *   configuration, or null.
 */
export function parseApiKeys(setting: Setting, checkWebhook: CheckWebhook): ParsedApiKeys {
  const problems: Problem[] = [];
  const report = (message: string) => problems.push({ variable: setting.label, message });
  const entries = parseEntries(setting, report);
  entries.forEach((entry, i) => {
    const found = entry.kind === 'invalid' ? entry.problems : findWebhookProblem(entry.key, checkWebhook);
    for (const problem of found) report(`Key ${i + 1}: ${problem}`);
  });
  reportDuplicates(entries, 'name', ({ name }) => name, report);
  reportDuplicates(entries, 'secret', ({ digest }) => Buffer.from(digest).toString('hex'), report);
  const inFile =
    setting.reread !== undefined || entries.some((entry) => entry.kind === 'key' && entry.inFile);
  return {
    keys: entries.flatMap((entry) => (entry.kind === 'key' ? [entry.key] : [])),
    problems,
    inFile,
  };
}

function parseEntries({ text, problem }: Setting, report: (message: string) => void): KeyEntry[] {
  try {
    if (text === undefined) throw new InvalidValue(problem ?? HOW_TO_SET);
    if (/^[[{]/.test(text)) return parseApiKeysJson(text);
    const pairs = splitList(text);
    if (pairs.length === 0) throw new InvalidValue(HOW_TO_SET);
    return pairs.map(parsePair);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    report(error.message);
    return [];
  }
}

/**
 * Parses `name:secret` or `name:sha256:<hex>`, either followed by `:admin`. Errors repeat no part
 * of it: in a malformed pair, any part may be the secret.
 */
function parsePair(pair: string): KeyEntry {
  const [name = '', ...parts] = pair.split(':');
  const secret = parts.splice(0, parts[0] === 'sha256' ? 2 : 1).join(':');
  const isAdmin = parts[0] === 'admin';
  try {
    if (!pair.includes(':'))
      throw new InvalidValue('It has no colon: write name:secret, such as crm:$(openssl rand -hex 24).');
    if (!KEY_NAME.test(name)) {
      throw new InvalidValue(
        'It has no valid name: put 1 to 64 letters, digits, dots, hyphens or underscores before the first colon.',
      );
    }
    const digest = parseSecret(secret);
    if (parts.length > (isAdmin ? 1 : 0)) {
      throw new InvalidValue(
        'It has something other than :admin after its secret. A secret cannot contain a colon.',
      );
    }
    const scopes = isAdmin ? (['admin'] as const) : DEFAULT_SCOPES;
    return { kind: 'key', key: { ...UNRESTRICTED, name, digest, scopes }, inFile: false };
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    return { kind: 'invalid', problems: [error.message] };
  }
}

function findWebhookProblem({ webhookUrl, webhookSecrets }: ApiKey, check: CheckWebhook): string[] {
  if (webhookUrl === null) {
    return webhookSecrets === null ? [] : ['webhook_secret: It needs a webhook_url, whose calls it signs.'];
  }
  const problem = check(webhookUrl, webhookSecrets);
  return problem === null ? [] : [`webhook_url: ${problem}`];
}

function reportDuplicates(
  entries: readonly KeyEntry[],
  property: string,
  read: (key: ApiKey) => string,
  report: (message: string) => void,
): void {
  const values = entries.map((entry) => (entry.kind === 'key' ? read(entry.key) : null));
  values.forEach((value, i) => {
    const first = values.indexOf(value);
    if (value !== null && first < i)
      report(`Keys ${first + 1} and ${i + 1} have the same ${property}: give each its own.`);
  });
}
