import { defaultEhloName } from '../adapters/smtp/server-options.ts';
import type { Config } from '../config/config.ts';
import type { Environment } from '../config/environment.ts';
import type { RunningService } from '../core/ports/doctor-report.ts';
import { type Check, runCheck, skip, toCheck } from './check.ts';
import { PLACEHOLDER_USER, readConfiguration } from './checks/configuration.ts';
import { checkSenderDomains } from './checks/domains/sender-domains.ts';
import { checkGmailAccounts } from './checks/gmail-accounts.ts';
import { mechanismOf } from './checks/gmail-login.ts';
import { checkQueueBackend } from './checks/queue-backend.ts';
import { COMPARE_WITH, checkHttpsPort, type Endpoint, toTarget } from './checks/reachability.ts';
import { checkSmtpServers } from './checks/smtp-servers.ts';
import type { SessionRequirements } from './checks/smtp-session.ts';
import { checkTemplates } from './checks/template-files.ts';
import { checkAlertWebhook, checkWebhooks } from './checks/webhook-endpoints.ts';
import { createDnsClient, type DnsClient } from './net/dns-client.ts';
import { NETWORK_DEFAULTS, type NetworkOptions } from './net/sockets.ts';
import type { Report } from './report.ts';

export interface DoctorOptions {
  readonly env: Environment;
  /** The `.env` file that was loaded into `env`, if any. */
  readonly envFile?: string | null;
  readonly version: string;
  /** Recipient of a test message; null sends none. */
  readonly sendTo: string | null;
  /** The service that this process runs. Null: it runs none. */
  readonly service?: RunningService | null;
  readonly network?: Partial<NetworkOptions>;
  /** Reads the records of From domains. Default: with the DNS servers of the operating system. */
  readonly dns?: DnsClient;
  /** The endpoint to compare with when a mail port times out. */
  readonly compareWith?: Endpoint;
}

/**
 * Checks everything that sending mail depends on. Failed checks are part of the report: it never
 * rejects because of one. Takes a bounded time. Sends nothing unless `sendTo` is set.
 */
export async function runDoctor({
  env,
  envFile = null,
  version,
  sendTo,
  service = null,
  network: networkOverrides,
  dns,
  compareWith = COMPARE_WITH,
}: DoctorOptions): Promise<Report> {
  const network: NetworkOptions = { ...NETWORK_DEFAULTS, ...networkOverrides };
  const { checks: configuration, config, invalid } = readConfiguration(env, envFile);
  const requirements: SessionRequirements = {
    // Without an account, the name is that of the placeholder's domain.
    ehloName: config.smtp.ehloName ?? defaultEhloName(config.accounts[0]?.user ?? PLACEHOLDER_USER),
    mechanisms: [...new Set(config.accounts.map(mechanismOf).filter((mechanism) => mechanism !== null))],
    maxMessageBytes: config.maxMessageBytes,
  };
  const comparisonSubject = { id: 'tcp_443', name: 'TCP for comparison', target: toTarget(compareWith) };
  let comparison: Promise<Check> | null = null;
  const compare = () =>
    (comparison ??= runCheck(comparisonSubject, () => checkHttpsPort(compareWith, network)));

  const domains = checkSenderDomains(config.accounts, dns ?? createDnsClient(network.limitMs), service);
  const services = checkOtherServices(config, invalid, network, service);
  const { checks: servers, reachable } = await checkSmtpServers(
    config.smtp.servers,
    requirements,
    network,
    compare,
  );
  const compared =
    (await (comparison as Promise<Check> | null)) ??
    toCheck(comparisonSubject, skip('not needed: no mail port timed out'));
  const accounts = await checkGmailAccounts(config, reachable, { sendTo, network, version, service });
  const checks = [
    ...configuration,
    ...(await services),
    ...servers,
    compared,
    ...accounts,
    ...(await domains),
  ];
  return { ok: checks.every(({ status }) => status !== 'fail'), version, checks };
}

/** Checks QUEUE_URL, TEMPLATES_DIR, WEBHOOK_URL and ALERT_WEBHOOK_URL. */
async function checkOtherServices(
  config: Pick<Config, 'queue' | 'templatesDir' | 'webhooks' | 'alertWebhookUrl' | 'apiKeys'>,
  invalid: ReadonlySet<string>,
  network: NetworkOptions,
  service: RunningService | null,
): Promise<Check[]> {
  const runIfValid = (variable: string, subject: Pick<Check, 'id' | 'name'>, run: () => Promise<Check[]>) =>
    invalid.has(variable)
      ? [toCheck({ ...subject, target: variable }, skip(`not checked: ${variable} is invalid`))]
      : run();
  const checks = await Promise.all([
    runIfValid('QUEUE_URL', { id: 'queue', name: 'Queue' }, () =>
      checkQueueBackend(config.queue.url, service),
    ),
    runIfValid('TEMPLATES_DIR', { id: 'templates', name: 'Templates' }, () =>
      checkTemplates(config.templatesDir),
    ),
    runIfValid('WEBHOOK_URL', { id: 'webhook', name: 'Webhook' }, () => checkWebhooks(config, network)),
    runIfValid('ALERT_WEBHOOK_URL', { id: 'alert_webhook', name: 'Alerts' }, () =>
      checkAlertWebhook(config, network),
    ),
  ]);
  return checks.flat();
}
