import { z } from 'zod';
import { HOW_TO_SET, parseApiKeys, parseAppPassword, parseGmailUser } from './config/credentials.ts';
import { type Environment, type Problem, readSettings, warnOfUnknown } from './config/environment.ts';
import { parseSmtpUrl, type SmtpServer } from './config/smtp-url.ts';
import {
  InvalidValue,
  parseChoice,
  parseDuration,
  parseHost,
  parsePositiveDuration,
  parseProxies,
  parseRate,
  parseSize,
  parseWholeNumber,
} from './config/values.ts';
import { VARIABLES, type VariableName } from './config/variables.ts';
import { AddressError, parseAddress } from './core/address.ts';
import type { ApiKey } from './core/caller.ts';
import type { Address } from './core/message.ts';

/** The whole configuration, validated. Durations are milliseconds, sizes bytes. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly apiKeys: readonly ApiKey[];
  readonly gmail: {
    readonly user: string;
    /** 16 letters, without spaces. Null only if every server is `tls: 'never'`. */
    readonly appPassword: string | null;
    readonly from: Address;
  };
  readonly smtp: { readonly servers: readonly SmtpServer[]; readonly connections: number };
  readonly onUncertain: 'retry' | 'hold';
  readonly retryForMs: number;
  readonly queue: { readonly maxMessages: number; readonly maxBytes: number };
  readonly retainMs: number;
  readonly maxMessageBytes: number;
  readonly rateLimit: { readonly max: number; readonly windowMs: number };
  /** Addresses and CIDRs of proxies whose X-Forwarded-For is believed. */
  readonly trustProxy: readonly string[];
  readonly logLevel: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';
  readonly shutdownTimeoutMs: number;
}

/** Every variable that is wrong, each with its mend. No value is repeated. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(['The configuration cannot be used.', ...problems.map(({ variable, message }) => `  ${variable}: ${message}`)].join('\n'));
    this.problems = problems;
  }
}

/** SIZE, as smtp.gmail.com announces it. */
const GMAIL_SIZE = 35_882_577;
/** Gmail's own limit is not published; past a few connections it answers logins with 454. */
const MAX_CONNECTIONS = 20;
const MAX_QUEUED_MESSAGES = 10_000_000;

const DEFAULTS = Object.fromEntries(VARIABLES.map((variable) => [variable.name, variable.default]));

/** Turns the text of a variable into its value; what the parser throws becomes an issue of the schema. */
function parsed<T>(parse: (text: string) => T) {
  return (text: string, context: z.RefinementCtx): T => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof InvalidValue || error instanceof AddressError)) throw error;
      context.addIssue(error.message);
      return z.NEVER;
    }
  };
}

function required<T>(name: keyof typeof HOW_TO_SET, parse: (text: string) => T) {
  return z.string({ error: HOW_TO_SET[name] }).transform(parsed(parse));
}

function optional<T>(parse: (text: string) => T) {
  return z.string().transform(parsed(parse)).optional();
}

function defaulted<T>(name: VariableName, parse: (text: string) => T) {
  return z
    .string()
    .prefault(DEFAULTS[name] ?? '')
    .transform(parsed(parse));
}

const environment = z
  .object({
    HOST: defaulted('HOST', parseHost),
    PORT: defaulted('PORT', (text) => parseWholeNumber(text, 0, 65_535)),
    API_KEYS: required('API_KEYS', parseApiKeys),
    GMAIL_USER: required('GMAIL_USER', parseGmailUser),
    GMAIL_APP_PASSWORD: optional(parseAppPassword),
    GMAIL_FROM: optional(parseAddress),
    SMTP_URL: defaulted('SMTP_URL', parseSmtpUrl),
    SMTP_CONNECTIONS: defaulted('SMTP_CONNECTIONS', (text) => parseWholeNumber(text, 1, MAX_CONNECTIONS)),
    ON_UNCERTAIN: defaulted('ON_UNCERTAIN', (text) => parseChoice(text, ['retry', 'hold'])),
    RETRY_FOR: defaulted('RETRY_FOR', parseDuration),
    QUEUE_MAX_MESSAGES: defaulted('QUEUE_MAX_MESSAGES', (text) => parseWholeNumber(text, 1, MAX_QUEUED_MESSAGES)),
    QUEUE_MAX_BYTES: defaulted('QUEUE_MAX_BYTES', parseSize),
    RETAIN: defaulted('RETAIN', parsePositiveDuration),
    MAX_MESSAGE_BYTES: defaulted('MAX_MESSAGE_BYTES', (text) => parseSize(text, GMAIL_SIZE)),
    RATE_LIMIT: defaulted('RATE_LIMIT', parseRate),
    TRUST_PROXY: optional(parseProxies),
    LOG_LEVEL: defaulted('LOG_LEVEL', (text) => parseChoice(text, ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])),
    SHUTDOWN_TIMEOUT: defaulted('SHUTDOWN_TIMEOUT', parsePositiveDuration),
  })
  .refine(({ SMTP_URL, GMAIL_APP_PASSWORD }) => GMAIL_APP_PASSWORD !== undefined || neverLogsIn(SMTP_URL), {
    path: ['GMAIL_APP_PASSWORD'],
    error: HOW_TO_SET.GMAIL_APP_PASSWORD,
    // Also when other variables are wrong, so that one error names them all.
    when: () => true,
  });

/** With a bad SMTP_URL, zod hands on something else than servers: then a login is to be expected. */
function neverLogsIn(servers: unknown): boolean {
  return Array.isArray(servers) && servers.every((server: SmtpServer) => server.tls === 'never');
}

/**
 * Reads the whole configuration: the environment, and the files that `…_FILE` variables name. `warnings` are worth a log line each.
 *
 * @throws {ConfigError} naming every variable that is missing or wrong
 */
export function parseConfig(env: Environment): { config: Config; warnings: string[] } {
  const settings = readSettings(env);
  const result = environment.safeParse(Object.fromEntries(settings.map(({ name, text }) => [name, text])));
  const problems = settings.flatMap(({ name, label, problem }) => {
    const message = problem ?? result.error?.issues.find(({ path }) => path[0] === name)?.message;
    return message === undefined ? [] : [{ variable: label, message }];
  });
  if (!result.success || problems.length > 0) throw new ConfigError(problems);
  return { config: freezeDeep(toConfig(result.data)), warnings: warnOfUnknown(env) };
}

function toConfig(values: z.infer<typeof environment>): Config {
  return {
    host: values.HOST,
    port: values.PORT,
    apiKeys: values.API_KEYS,
    gmail: {
      user: values.GMAIL_USER,
      appPassword: values.GMAIL_APP_PASSWORD ?? null,
      from: values.GMAIL_FROM ?? { email: values.GMAIL_USER, name: null },
    },
    smtp: { servers: values.SMTP_URL, connections: values.SMTP_CONNECTIONS },
    onUncertain: values.ON_UNCERTAIN,
    retryForMs: values.RETRY_FOR,
    queue: { maxMessages: values.QUEUE_MAX_MESSAGES, maxBytes: values.QUEUE_MAX_BYTES },
    retainMs: values.RETAIN,
    maxMessageBytes: values.MAX_MESSAGE_BYTES,
    rateLimit: values.RATE_LIMIT,
    trustProxy: values.TRUST_PROXY ?? [],
    logLevel: values.LOG_LEVEL,
    shutdownTimeoutMs: values.SHUTDOWN_TIMEOUT,
  };
}

/** Typed arrays, such as the digests of keys, cannot be frozen: they stay as they are. */
function freezeDeep<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  for (const child of Object.values(value)) freezeDeep(child);
  return Object.freeze(value);
}
