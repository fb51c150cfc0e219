import { z } from 'zod';
import type { FromPolicy } from '../core/accounts/accounts.ts';
import type { ApiKey } from '../core/auth/caller.ts';
import type { OnUncertain } from '../core/dispatch/retry-policy.ts';
import type { AccountConfig } from './account-config.ts';
import { parseAccounts } from './accounts-config.ts';
import { parseApiKeys } from './api-keys-config.ts';
import { findConflicts, findRisks } from './cross-checks.ts';
import {
  type Environment,
  findUncheckedTls,
  type Problem,
  readSettings,
  type Settings,
} from './environment.ts';
import { environment, type Values } from './environment-schema.ts';
import { type MailboxConfig, toMailboxConfig } from './mailbox-config.ts';
import { describeMisspelling, explainProblems, findMisspellings } from './misspelling.ts';
import { parseTokenUrl } from './oauth-config.ts';
import type { QueueUrl } from './queue-url.ts';
import { optional, parseSettings } from './setting-schema.ts';
import type { SmtpServer } from './smtp-url.ts';
import { VARIABLES } from './variables.ts';
import { findWebhookProblem, type WebhookConfig } from './webhook-config.ts';

/** The whole configuration, validated. Durations are milliseconds, sizes bytes. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly apiKeys: readonly ApiKey[];
  /**
   * Parses the keys and accounts of another environment, and the files that it names. Its other
   * variables are ignored: they keep the values of this configuration.
   *
   * @throws {ConfigError} Naming every variable of them that is missing or invalid.
   */
  readonly reload: (env: Environment) => Reloadable;
  /** At least one. The first is the default. */
  readonly accounts: readonly AccountConfig[];
  readonly fromPolicy: FromPolicy;
  readonly smtp: {
    readonly servers: readonly SmtpServer[];
    /** Name in EHLO. Null: chosen for each account. */
    readonly ehloName: string | null;
    /** Maximum connections per account, of all instances together. */
    readonly connections: number;
    /** Maximum connections per account of this instance. */
    readonly connectionsHere: number;
    /** Messages per second and account. Null: no limit. */
    readonly rate: number | null;
  };
  readonly onUncertain: OnUncertain;
  readonly retryForMs: number;
  /** What is read from the mailboxes of the accounts. */
  readonly mailbox: MailboxConfig;
  readonly queue: { readonly url: QueueUrl; readonly maxMessages: number; readonly maxBytes: number };
  readonly retainMs: number;
  readonly retainContentMs: number;
  readonly maxMessageBytes: number;
  readonly rateLimit: { readonly max: number; readonly windowMs: number };
  /** Addresses and CIDRs of proxies whose X-Forwarded-For is trusted. */
  readonly trustProxy: readonly string[];
  /** Whether `/` is the operators' page. */
  readonly ui: boolean;
  readonly templatesDir: string | null;
  readonly webhooks: WebhookConfig;
  /** A chat's webhook, which receives alerts. A secret: only its host may be shown. */
  readonly alertWebhookUrl: string | null;
  /** Addresses and `@domains` that mail may be sent to. Null: any. */
  readonly allowedRecipients: readonly string[] | null;
  /** Receives all mail instead of its recipients. */
  readonly redirectAllTo: string | null;
  readonly suppress: 'hard' | 'never';
  readonly metrics: {
    /** Who may read metrics: API keys with the scope `metrics`, anyone who can connect, or no one. */
    readonly access: 'key' | 'open' | 'off';
    /** Null: they are at PORT. */
    readonly port: number | null;
  };
  readonly logFormat: 'auto' | 'json' | 'pretty';
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  readonly shutdownTimeoutMs: number;
}

/** The part of the configuration that can change while the service runs. */
export interface Reloadable {
  readonly apiKeys: readonly ApiKey[];
  /** At least one. The first is the default. */
  readonly accounts: readonly AccountConfig[];
  /** Whether any key, and any setting of an account, is in a file. */
  readonly inFiles: { readonly apiKeys: boolean; readonly accounts: boolean };
}

/** Invalid configuration: every invalid variable with its fix. Repeats no value. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  /** @param warnings Misspelt names that cause none of the problems, printed after them. */
  constructor(problems: readonly Problem[], warnings: readonly string[] = []) {
    const lines = [...problems.map(({ variable, message }) => `${variable}: ${message}`), ...warnings];
    super(['The configuration is invalid.', ...lines.map((line) => `  ${line}`)].join('\n'));
    this.problems = problems;
  }
}

const accountEnvironment = z.object({ GMAIL_OAUTH_TOKEN_URL: optional(parseTokenUrl) });

const WEBHOOK_VARIABLES = { WEBHOOK_URL: true, WEBHOOK_SECRET: true, WEBHOOK_ALLOWED_HOSTS: true } as const;

/**
 * Reads the whole configuration: the environment, and the files that `…_FILE` variables name. Each
 * of the `warnings` should be logged.
 *
 * @throws {ConfigError} Naming every variable that is missing or invalid.
 */
export function parseConfig(env: Environment): { config: Config; warnings: string[] } {
  const settings = readSettings(env);
  const { values, problems } = parseSettings(environment, settings);
  // Also checked if other variables are invalid.
  const webhookValues = parseSettings(environment.pick(WEBHOOK_VARIABLES), settings).values;
  const webhooks = webhookValues && toWebhooks(webhookValues);
  // An invalid value is reported in `problems`.
  const servers = environment.shape.SMTP_URL.safeParse(settings.SMTP_URL.text).data ?? null;
  const reloadable = parseReloadable(settings, servers, webhooks);
  const all = [
    ...findUncheckedTls(env),
    ...problems,
    ...findConflicts({ settings, values, webhooks }),
    ...reloadable.problems,
  ];
  const misspellings = findMisspellings(env, settings);
  if (values === null || all.length > 0) {
    const explained = explainProblems(all, misspellings, settings);
    throw new ConfigError(inOrder(explained.problems), explained.others.map(describeMisspelling));
  }
  const config = freezeDeep(toConfig(values, reloadable));
  return { config, warnings: [...misspellings.map(describeMisspelling), ...findRisks(config)] };
}

/**
 * Parses the keys and accounts.
 *
 * @param servers Those of SMTP_URL. Null if it is invalid.
 * @param webhooks Null if a variable of them is invalid.
 */
function parseReloadable(
  settings: Settings,
  servers: readonly SmtpServer[] | null,
  webhooks: WebhookConfig | null,
): Reloadable & { readonly problems: readonly Problem[] } {
  const keys = parseApiKeys(
    settings.API_KEYS,
    (url, ownSecrets) =>
      webhooks && findWebhookProblem(url, { ...webhooks, secrets: ownSecrets ?? webhooks.secrets }),
  );
  const common = parseSettings(accountEnvironment, settings);
  const accounts = parseAccounts(settings, { servers, tokenUrl: common.values?.GMAIL_OAUTH_TOKEN_URL });
  return {
    apiKeys: keys.keys,
    accounts: accounts.accounts,
    inFiles: { apiKeys: keys.inFile, accounts: accounts.inFile },
    problems: [...keys.problems, ...common.problems, ...accounts.problems],
  };
}

/** @throws {ConfigError} */
function reload(env: Environment, servers: readonly SmtpServer[], webhooks: WebhookConfig): Reloadable {
  const settings = readSettings(env);
  const { problems, ...reloadable } = parseReloadable(settings, servers, webhooks);
  if (problems.length === 0) return freezeDeep(reloadable);
  const explained = explainProblems(problems, findMisspellings(env, settings), settings);
  throw new ConfigError(inOrder(explained.problems), explained.others.map(describeMisspelling));
}

/** Sorts problems in the order of VARIABLES, which groups related variables. */
function inOrder(problems: readonly Problem[]): Problem[] {
  const names: readonly string[] = VARIABLES.map(({ name }) => name);
  const rank = ({ variable }: Problem) => names.indexOf(variable.replace(/_FILE$/, ''));
  return problems.toSorted((a, b) => rank(a) - rank(b));
}

function toConfig(values: Values, { apiKeys, accounts }: Reloadable): Config {
  const webhooks = toWebhooks(values);
  return {
    host: values.HOST,
    port: values.PORT,
    apiKeys,
    reload: (env) => reload(env, values.SMTP_URL, webhooks),
    accounts,
    fromPolicy: values.FROM_POLICY,
    smtp: {
      servers: values.SMTP_URL,
      ehloName: values.SMTP_EHLO_NAME ?? null,
      connections: values.SMTP_CONNECTIONS,
      connectionsHere: Math.min(
        values.SMTP_CONNECTIONS_PER_INSTANCE ?? values.SMTP_CONNECTIONS,
        values.SMTP_CONNECTIONS,
      ),
      rate: values.SMTP_RATE ?? null,
    },
    onUncertain: values.ON_UNCERTAIN,
    retryForMs: values.RETRY_FOR,
    mailbox: toMailboxConfig(values),
    queue: {
      url: values.QUEUE_URL,
      maxMessages: values.QUEUE_MAX_MESSAGES,
      maxBytes: values.QUEUE_MAX_BYTES,
    },
    retainMs: values.RETAIN,
    retainContentMs: values.RETAIN_CONTENT,
    maxMessageBytes: values.MAX_MESSAGE_BYTES,
    rateLimit: values.RATE_LIMIT,
    trustProxy: values.TRUST_PROXY ?? [],
    ui: values.UI === 'on',
    templatesDir: values.TEMPLATES_DIR ?? null,
    webhooks,
    alertWebhookUrl: values.ALERT_WEBHOOK_URL ?? null,
    allowedRecipients: values.ALLOWED_RECIPIENTS ?? null,
    redirectAllTo: values.REDIRECT_ALL_TO ?? null,
    suppress: values.SUPPRESS,
    metrics: { access: values.METRICS, port: values.METRICS_PORT ?? null },
    logFormat: values.LOG_FORMAT,
    logLevel: values.LOG_LEVEL,
    shutdownTimeoutMs: values.SHUTDOWN_TIMEOUT,
  };
}

type WebhookValues = Pick<Values, keyof typeof WEBHOOK_VARIABLES>;

function toWebhooks({ WEBHOOK_URL, WEBHOOK_SECRET, WEBHOOK_ALLOWED_HOSTS }: WebhookValues): WebhookConfig {
  return {
    url: WEBHOOK_URL ?? null,
    secrets: WEBHOOK_SECRET ?? [],
    allowedHosts: WEBHOOK_ALLOWED_HOSTS ?? [],
  };
}

/**
 * Freezes a value at all depths, except typed arrays such as key digests, which cannot be frozen.
 */
function freezeDeep<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  for (const child of Object.values(value)) freezeDeep(child);
  return Object.freeze(value);
}
