import { joinWithin, MAX_LIST_LENGTH } from '../core/errors.ts';
import type { Config } from './config.ts';
import type { Problem, Settings } from './environment.ts';
import { environment, type Values } from './environment-schema.ts';
import { mailboxServerOf, toMailboxConfig } from './mailbox-config.ts';
import { rewritesFrom } from './smtp-url.ts';
import { findSchemeProblem, findWebhookProblem, type WebhookConfig } from './webhook-config.ts';

/** What is checked. A part is null if one of its variables is invalid. */
export interface Checked {
  readonly settings: Settings;
  readonly values: Values | null;
  readonly webhooks: WebhookConfig | null;
}

/** Returns the problems of values that are valid alone, and not together with others. */
export function findConflicts({ settings, values, webhooks }: Checked): Problem[] {
  return [
    ...checkWebhookUrl(webhooks),
    ...checkRetention(values),
    ...checkAlertUrl(settings, webhooks),
    ...checkMetricsPort(values),
    ...checkInbound(values),
  ];
}

/** Returns a warning for each risk of a valid configuration. */
export function findRisks(config: Config): string[] {
  return [...warnOfRewriting(config), ...warnOfUnreadable(config), ...warnOfOpenMetrics(config)];
}

/** Checks WEBHOOK_URL against the other webhook variables. */
function checkWebhookUrl(webhooks: WebhookConfig | null): Problem[] {
  const message = webhooks?.url ? findWebhookProblem(webhooks.url, webhooks) : null;
  return message === null ? [] : [{ variable: 'WEBHOOK_URL', message }];
}

/** Checks RETAIN_CONTENT against RETAIN. */
function checkRetention(values: Values | null): Problem[] {
  if (values === null || values.RETAIN_CONTENT <= values.RETAIN) return [];
  return [{ variable: 'RETAIN_CONTENT', message: 'It must be at most RETAIN.' }];
}

/** Checks INBOUND against IMAP_URL and SMTP_URL. */
function checkInbound(values: Values | null): Problem[] {
  if (values === null || values.INBOUND === 'off' || toMailboxConfig(values).server !== null) return [];
  return [
    {
      variable: 'INBOUND',
      message:
        'It needs the server of the mailboxes: set IMAP_URL, since SMTP_URL names no server of Gmail with a login. Or set INBOUND=off.',
    },
  ];
}

function checkMetricsPort(values: Values | null): Problem[] {
  if (!values || values.METRICS_PORT === 0 || values.METRICS_PORT !== values.PORT) return [];
  return [
    {
      variable: 'METRICS_PORT',
      message: 'It must differ from PORT. Remove it to have the metrics at PORT.',
    },
  ];
}

/** Checks ALERT_WEBHOOK_URL against WEBHOOK_ALLOWED_HOSTS. */
function checkAlertUrl(
  { ALERT_WEBHOOK_URL: { label, text } }: Settings,
  webhooks: WebhookConfig | null,
): Problem[] {
  // An invalid value is reported in `problems`.
  const url = environment.shape.ALERT_WEBHOOK_URL.safeParse(text).data;
  const message = url && webhooks ? findSchemeProblem(url, webhooks.allowedHosts) : null;
  return message === null ? [] : [{ variable: label, message }];
}

/** Warns that Gmail rewrites From. */
function warnOfRewriting({ fromPolicy, smtp }: Config): string[] {
  if (fromPolicy !== 'allow' || !smtp.servers.some(rewritesFrom)) return [];
  return [
    'FROM_POLICY is allow: Gmail silently rewrites a From that is not verified. List verified addresses in GMAIL_ALIASES and use reject or rewrite.',
  ];
}

function warnOfUnreadable({ accounts, mailbox }: Config): string[] {
  const users = accounts
    .filter((account) => mailboxServerOf(account, mailbox) === null)
    .map(({ user }) => user);
  if (mailbox.inbound === 'off' || users.length === 0) return [];
  return [
    `INBOUND is ${mailbox.inbound}, but there is no login to the mailbox of ${joinWithin(users, MAX_LIST_LENGTH)}: nothing is read from it.`,
  ];
}

function warnOfOpenMetrics({ metrics, host, port }: Config): string[] {
  if (metrics.access !== 'open') return [];
  return [
    `METRICS is open: anyone who can connect to port ${metrics.port ?? port} of ${host} can read the names of API keys and accounts at /metrics.`,
  ];
}
