import { z } from 'zod';
import { FROM_POLICIES, type FromPolicy } from '../core/accounts/accounts.ts';
import type { ApiKey } from '../core/auth/caller.ts';
import { ON_UNCERTAIN, type OnUncertain } from '../core/dispatch/retry-policy.ts';
import type { AccountConfig } from './account-config.ts';
import { parseAccounts } from './accounts-config.ts';
import { type ParsedApiKeys, parseApiKeys } from './api-keys-config.ts';
import {
  type Environment,
  findUncheckedTls,
  type Problem,
  readSettings,
  type Settings,
} from './environment.ts';
import { describeMisspelling, explainProblems, findMisspellings } from './misspelling.ts';
import { parseTokenUrl } from './oauth-config.ts';
import { parsePatterns } from './patterns.ts';
import { parseQueueUrl, type QueueUrl } from './queue-url.ts';
import { defaulted, optional, parseSettings } from './schema.ts';
import { parseSmtpUrl, type SmtpServer } from './smtp-url.ts';
import {
  parseChoice,
  parseDuration,
  parseEmailSetting,
  parseHost,
  parsePerSecond,
  parsePositiveDuration,
  parseProxies,
  parseRate,
  parseSize,
  parseWholeNumber,
  splitList,
} from './values.ts';
import { VARIABLES } from './variables.ts';
import {
  parseHosts,
  parseWebhookSecrets,
  parseWebhookUrl,
  refuseWebhook,
  type WebhookConfig,
} from './webhook-config.ts';

/** The whole configuration, validated. Durations are milliseconds, sizes bytes. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly apiKeys: readonly ApiKey[];
  /**
   * Reads again what of API_KEYS stands in files, and gives the keys as they are now. Null if nothing of it stands in a file.
   *
   * @throws {ConfigError} when they cannot be used
   */
  readonly reloadApiKeys: () => readonly ApiKey[] | null;
  /** At least one; the first is the one to use where nothing else decides. */
  readonly accounts: readonly AccountConfig[];
  readonly fromPolicy: FromPolicy;
  readonly smtp: {
    readonly servers: readonly SmtpServer[];
    /** For each account: of all instances, and of this one. */
    readonly connections: number;
    readonly connectionsHere: number;
    /** Messages per second for each account; null: no limit. */
    readonly rate: number | null;
  };
  readonly onUncertain: OnUncertain;
  readonly retryForMs: number;
  readonly queue: { readonly url: QueueUrl; readonly maxMessages: number; readonly maxBytes: number };
  readonly retainMs: number;
  readonly maxMessageBytes: number;
  readonly rateLimit: { readonly max: number; readonly windowMs: number };
  /** Addresses and CIDRs of proxies whose X-Forwarded-For is believed. */
  readonly trustProxy: readonly string[];
  readonly templatesDir: string | null;
  readonly webhooks: WebhookConfig;
  /** Addresses and `@domains`; null: any. */
  readonly allowedRecipients: readonly string[] | null;
  /** Whom everything goes to in place of its recipients. */
  readonly redirectAllTo: string | null;
  readonly suppress: 'hard' | 'never';
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  readonly shutdownTimeoutMs: number;
}

/** Every variable that is wrong, each with its mend. No value is repeated. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  /** @param warnings Printed after the problems: misspelt names that cause none of them. */
  constructor(problems: readonly Problem[], warnings: readonly string[] = []) {
    const lines = [...problems.map(({ variable, message }) => `${variable}: ${message}`), ...warnings];
    super(['The configuration cannot be used.', ...lines.map((line) => `  ${line}`)].join('\n'));
    this.problems = problems;
  }
}

/** SIZE, as smtp.gmail.com announces it. */
const GMAIL_SIZE = 35_882_577;
/** Gmail's own limit is not published; past a few connections it answers logins with 454. */
const MAX_CONNECTIONS = 20;
const MAX_QUEUED_MESSAGES = 10_000_000;

/** All but the keys and the accounts. */
const environment = z.object({
  HOST: defaulted('HOST', parseHost),
  PORT: defaulted('PORT', (text) => parseWholeNumber(text, 0, 65_535)),
  GMAIL_OAUTH_TOKEN_URL: optional(parseTokenUrl),
  FROM_POLICY: defaulted('FROM_POLICY', (text) => parseChoice(text, FROM_POLICIES)),
  SMTP_URL: defaulted('SMTP_URL', parseSmtpUrl),
  SMTP_CONNECTIONS: defaulted('SMTP_CONNECTIONS', (text) => parseWholeNumber(text, 1, MAX_CONNECTIONS)),
  SMTP_CONNECTIONS_PER_INSTANCE: optional((text) => parseWholeNumber(text, 1, MAX_CONNECTIONS)),
  SMTP_RATE: optional(parsePerSecond),
  ON_UNCERTAIN: defaulted('ON_UNCERTAIN', (text) => parseChoice(text, ON_UNCERTAIN)),
  RETRY_FOR: defaulted('RETRY_FOR', parseDuration),
  QUEUE_URL: defaulted('QUEUE_URL', parseQueueUrl),
  QUEUE_MAX_MESSAGES: defaulted('QUEUE_MAX_MESSAGES', (text) =>
    parseWholeNumber(text, 1, MAX_QUEUED_MESSAGES),
  ),
  QUEUE_MAX_BYTES: defaulted('QUEUE_MAX_BYTES', parseSize),
  RETAIN: defaulted('RETAIN', parsePositiveDuration),
  MAX_MESSAGE_BYTES: defaulted('MAX_MESSAGE_BYTES', (text) => parseSize(text, GMAIL_SIZE)),
  RATE_LIMIT: defaulted('RATE_LIMIT', parseRate),
  TRUST_PROXY: optional(parseProxies),
  TEMPLATES_DIR: optional((text) => text),
  WEBHOOK_URL: optional(parseWebhookUrl),
  WEBHOOK_SECRET: optional(parseWebhookSecrets),
  WEBHOOK_ALLOWED_HOSTS: optional(parseHosts),
  ALLOWED_RECIPIENTS: optional((text) => parsePatterns(splitList(text))),
  REDIRECT_ALL_TO: optional((text) => parseEmailSetting(text, (reason) => reason)),
  SUPPRESS: defaulted('SUPPRESS', (text) => parseChoice(text, ['hard', 'never'])),
  LOG_LEVEL: defaulted('LOG_LEVEL', (text) =>
    parseChoice(text, ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
  ),
  SHUTDOWN_TIMEOUT: defaulted('SHUTDOWN_TIMEOUT', parsePositiveDuration),
});

const WEBHOOK_VARIABLES = { WEBHOOK_URL: true, WEBHOOK_SECRET: true, WEBHOOK_ALLOWED_HOSTS: true } as const;

/**
 * Reads the whole configuration: the environment, and the files that `…_FILE` variables name. `warnings` are worth a log line each.
 *
 * @throws {ConfigError} naming every variable that is missing or wrong
 */
export function parseConfig(env: Environment): { config: Config; warnings: string[] } {
  const settings = readSettings(env);
  const { values, problems } = parseSettings(environment, settings);
  // Checked even where other variables are wrong.
  const webhookValues = parseSettings(environment.pick(WEBHOOK_VARIABLES), settings).values;
  const webhooks = webhookValues && toWebhooks(webhookValues);
  const keys = parseApiKeys(settings.API_KEYS, (url) => webhooks && refuseWebhook(url, webhooks));
  const { accounts, problems: accountProblems } = parseAccounts(settings, {
    logsIn: logsIn(settings),
    // A wrong one is told of by `problems`.
    tokenUrl: environment.shape.GMAIL_OAUTH_TOKEN_URL.safeParse(settings.GMAIL_OAUTH_TOKEN_URL.text).data,
  });
  const all = [
    ...findUncheckedTls(env),
    ...problems,
    ...findWebhookProblems(webhooks),
    ...keys.problems,
    ...accountProblems,
  ];
  const misspellings = findMisspellings(env, settings);
  if (values === null || all.length > 0) {
    const explained = explainProblems(all, misspellings, settings);
    throw new ConfigError(inOrder(explained.problems), explained.others.map(describeMisspelling));
  }
  const config = freezeDeep(toConfig(values, accounts, keys));
  return { config, warnings: [...misspellings.map(describeMisspelling), ...warnOfRewriting(config)] };
}

/** With a bad SMTP_URL, a login is to be expected. */
function logsIn({ SMTP_URL }: Settings): boolean {
  const { data } = environment.shape.SMTP_URL.safeParse(SMTP_URL.text);
  return data?.every(({ tls }) => tls === 'never') !== true;
}

/** Each variable by itself is well-formed; these need one another. */
function findWebhookProblems(webhooks: WebhookConfig | null): Problem[] {
  const refusal = webhooks?.url ? refuseWebhook(webhooks.url, webhooks) : null;
  return refusal === null ? [] : [{ variable: 'WEBHOOK_URL', message: refusal }];
}

/** In that of VARIABLES, which groups what belongs together. */
function inOrder(problems: readonly Problem[]): Problem[] {
  const names: readonly string[] = VARIABLES.map(({ name }) => name);
  const rank = ({ variable }: Problem) => names.indexOf(variable.replace(/_FILE$/, ''));
  return problems.toSorted((a, b) => rank(a) - rank(b));
}

/** Workspace's relay, and servers that are not logged in to, leave the From as it is. */
function warnOfRewriting({ fromPolicy, smtp }: Config): string[] {
  const rewrites = smtp.servers.some(({ host, tls }) => tls !== 'never' && host !== 'smtp-relay.gmail.com');
  if (fromPolicy !== 'allow' || !rewrites) return [];
  return [
    'FROM_POLICY is allow: Gmail rewrites a From that is not verified, silently. List verified addresses in GMAIL_ALIASES and use reject or rewrite.',
  ];
}

function toConfig(
  values: z.infer<typeof environment>,
  accounts: readonly AccountConfig[],
  { keys, again }: ParsedApiKeys,
): Config {
  return {
    host: values.HOST,
    port: values.PORT,
    apiKeys: keys,
    reloadApiKeys: () => again && usableKeys(again()),
    accounts,
    fromPolicy: values.FROM_POLICY,
    smtp: {
      servers: values.SMTP_URL,
      connections: values.SMTP_CONNECTIONS,
      connectionsHere: Math.min(
        values.SMTP_CONNECTIONS_PER_INSTANCE ?? values.SMTP_CONNECTIONS,
        values.SMTP_CONNECTIONS,
      ),
      rate: values.SMTP_RATE ?? null,
    },
    onUncertain: values.ON_UNCERTAIN,
    retryForMs: values.RETRY_FOR,
    queue: {
      url: values.QUEUE_URL,
      maxMessages: values.QUEUE_MAX_MESSAGES,
      maxBytes: values.QUEUE_MAX_BYTES,
    },
    retainMs: values.RETAIN,
    maxMessageBytes: values.MAX_MESSAGE_BYTES,
    rateLimit: values.RATE_LIMIT,
    trustProxy: values.TRUST_PROXY ?? [],
    templatesDir: values.TEMPLATES_DIR ?? null,
    webhooks: toWebhooks(values),
    allowedRecipients: values.ALLOWED_RECIPIENTS ?? null,
    redirectAllTo: values.REDIRECT_ALL_TO ?? null,
    suppress: values.SUPPRESS,
    logLevel: values.LOG_LEVEL,
    shutdownTimeoutMs: values.SHUTDOWN_TIMEOUT,
  };
}

type WebhookValues = Pick<z.infer<typeof environment>, keyof typeof WEBHOOK_VARIABLES>;

function toWebhooks({ WEBHOOK_URL, WEBHOOK_SECRET, WEBHOOK_ALLOWED_HOSTS }: WebhookValues): WebhookConfig {
  return {
    url: WEBHOOK_URL ?? null,
    secrets: WEBHOOK_SECRET ?? [],
    allowedHosts: WEBHOOK_ALLOWED_HOSTS ?? [],
  };
}

function usableKeys({ keys, problems }: ParsedApiKeys): readonly ApiKey[] {
  if (problems.length > 0) throw new ConfigError(problems);
  return freezeDeep(keys);
}

/** Typed arrays, such as the digests of keys, cannot be frozen: they stay as they are. */
function freezeDeep<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  for (const child of Object.values(value)) freezeDeep(child);
  return Object.freeze(value);
}
