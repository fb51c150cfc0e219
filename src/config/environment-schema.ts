import { z } from 'zod';
import { FROM_POLICIES } from '../core/accounts/accounts.ts';
import { ON_UNCERTAIN } from '../core/dispatch/retry-policy.ts';
import { parsePatterns } from './address-patterns.ts';
import { INBOUND, parseImapUrl } from './mailbox-config.ts';
import { parseQueueUrl } from './queue-url.ts';
import { defaulted, optional } from './setting-schema.ts';
import { parseSmtpUrl } from './smtp-url.ts';
import {
  parseChoice,
  parseDuration,
  parseEhloName,
  parseEmailSetting,
  parseHost,
  parsePerSecond,
  parsePositiveDuration,
  parseProxies,
  parseRate,
  parseSize,
  parseWholeNumber,
  splitList,
} from './value-parsers.ts';
import { parseAlertUrl, parseHosts, parseWebhookSecrets, parseWebhookUrl } from './webhook-config.ts';

/** The SIZE that smtp.gmail.com announces. */
const GMAIL_SIZE = 35_882_577;
/** Gmail's limit is not published. Beyond a few connections it refuses logins with 454. */
const MAX_CONNECTIONS = 20;
const MAX_QUEUED_MESSAGES = 10_000_000;

/** All variables except those of keys and accounts. */
export const environment = z.object({
  HOST: defaulted('HOST', parseHost),
  PORT: defaulted('PORT', (text) => parseWholeNumber(text, 0, 65_535)),
  FROM_POLICY: defaulted('FROM_POLICY', (text) => parseChoice(text, FROM_POLICIES)),
  SMTP_URL: defaulted('SMTP_URL', parseSmtpUrl),
  SMTP_EHLO_NAME: optional(parseEhloName),
  SMTP_CONNECTIONS: defaulted('SMTP_CONNECTIONS', (text) => parseWholeNumber(text, 1, MAX_CONNECTIONS)),
  SMTP_CONNECTIONS_PER_INSTANCE: optional((text) => parseWholeNumber(text, 1, MAX_CONNECTIONS)),
  SMTP_RATE: optional(parsePerSecond),
  ON_UNCERTAIN: defaulted('ON_UNCERTAIN', (text) => parseChoice(text, ON_UNCERTAIN)),
  RETRY_FOR: defaulted('RETRY_FOR', parseDuration),
  RECONCILE: defaulted('RECONCILE', (text) => parseChoice(text, ['on', 'off'])),
  RECONCILE_FOR: defaulted('RECONCILE_FOR', parsePositiveDuration),
  IMAP_URL: optional(parseImapUrl),
  INBOUND: defaulted('INBOUND', (text) => parseChoice(text, INBOUND)),
  QUEUE_URL: defaulted('QUEUE_URL', parseQueueUrl),
  QUEUE_MAX_MESSAGES: defaulted('QUEUE_MAX_MESSAGES', (text) =>
    parseWholeNumber(text, 1, MAX_QUEUED_MESSAGES),
  ),
  QUEUE_MAX_BYTES: defaulted('QUEUE_MAX_BYTES', parseSize),
  RETAIN: defaulted('RETAIN', parsePositiveDuration),
  RETAIN_CONTENT: defaulted('RETAIN_CONTENT', (text) => (text === '0' ? 0 : parseDuration(text))),
  MAX_MESSAGE_BYTES: defaulted('MAX_MESSAGE_BYTES', (text) => parseSize(text, GMAIL_SIZE)),
  RATE_LIMIT: defaulted('RATE_LIMIT', parseRate),
  TRUST_PROXY: optional(parseProxies),
  UI: defaulted('UI', (text) => parseChoice(text, ['on', 'off'])),
  TEMPLATES_DIR: optional((text) => text),
  WEBHOOK_URL: optional(parseWebhookUrl),
  WEBHOOK_SECRET: optional(parseWebhookSecrets),
  WEBHOOK_ALLOWED_HOSTS: optional(parseHosts),
  ALERT_WEBHOOK_URL: optional(parseAlertUrl),
  ALLOWED_RECIPIENTS: optional((text) => parsePatterns(splitList(text))),
  REDIRECT_ALL_TO: optional((text) => parseEmailSetting(text, (reason) => reason)),
  SUPPRESS: defaulted('SUPPRESS', (text) => parseChoice(text, ['hard', 'never'])),
  METRICS: defaulted('METRICS', (text) => parseChoice(text, ['key', 'open', 'off'])),
  METRICS_PORT: optional((text) => parseWholeNumber(text, 0, 65_535)),
  LOG_LEVEL: defaulted('LOG_LEVEL', (text) =>
    parseChoice(text, ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
  ),
  LOG_FORMAT: defaulted('LOG_FORMAT', (text) => parseChoice(text, ['auto', 'json', 'pretty'])),
  SHUTDOWN_TIMEOUT: defaulted('SHUTDOWN_TIMEOUT', parsePositiveDuration),
});

/** The value of each variable. */
export type Values = z.infer<typeof environment>;
