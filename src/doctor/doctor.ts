import { ehloName } from '../adapters/smtp/connection/ehlo-name.ts';
import type { Config } from '../config/config.ts';
import type { Environment } from '../config/environment.ts';
import type { SmtpServer } from '../config/smtp-url.ts';
import { readConfiguration } from './checks/configuration.ts';
import { checkGmailAccounts } from './checks/gmail-accounts.ts';
import { mechanismOf } from './checks/gmail-login.ts';
import { checkHttps, type Endpoint, findWay, timed, toTarget } from './checks/network.ts';
import { checkQueueBackend } from './checks/queue-backend.ts';
import { checkSession, type Host, type SessionNeeds } from './checks/smtp-session.ts';
import { checkTemplates } from './checks/template-files.ts';
import { checkWebhooks } from './checks/webhook-endpoints.ts';
import { type Check, type Finding, type Report, skip, toCheck } from './report.ts';
import type { Trouble } from './wire/connection-errors.ts';
import { resolveHost, type Wire } from './wire/sockets.ts';

export interface DoctorOptions {
  readonly env: Environment;
  /** The `.env` file that was loaded into it, if any. */
  readonly envFile?: string | null;
  readonly version: string;
  /** Where a real message goes; null sends none. */
  readonly sendTo: string | null;
  readonly wire?: Partial<Wire>;
  /** Whose port 443 is compared with mail ports that do not answer. */
  readonly compareWith?: Endpoint;
}

const LIMIT_MS = 10_000;
const COMPARE_WITH: Endpoint = { host: 'accounts.google.com', port: 443 };
/** For EHLO where there is no account to name. */
const NOBODY = 'nobody@outtray.invalid';

/** Checks all that sending mail depends on, one by one. Never rejects for what it finds, ends in bounded time, and sends nothing unless told to. */
export async function runDoctor({
  env,
  envFile = null,
  version,
  sendTo,
  wire: given,
  compareWith = COMPARE_WITH,
}: DoctorOptions): Promise<Report> {
  const wire: Wire = { limitMs: LIMIT_MS, ca: null, resolve: resolveHost, ...given };
  const { checks: configuration, config, wrong } = readConfiguration(env, envFile);
  const needs: SessionNeeds = {
    ehloName: ehloName(config.accounts[0]?.user ?? NOBODY),
    mechanisms: [...new Set(config.accounts.map(mechanismOf).filter((mechanism) => mechanism !== null))],
    maxMessageBytes: config.maxMessageBytes,
  };
  const about = { id: 'tcp_443', name: 'TCP for comparison', target: toTarget(compareWith) };
  let comparison: Promise<Check> | null = null;
  const compare = () => (comparison ??= timed(about, () => checkHttps(compareWith, wire)));

  const targets = examineTargets(config, wrong, wire);
  const visits = await Promise.all(config.smtp.servers.map((server) => visit(server, needs, wire, compare)));
  const compared =
    (await (comparison as Promise<Check> | null)) ??
    toCheck(about, skip('not needed: no mail port timed out'));
  const host = visits.find((each) => each.host)?.host ?? null;
  const senders = await checkGmailAccounts(config, host, { sendTo, wire, version });
  const checks = [...configuration, ...(await targets), ...judge(visits), compared, ...senders];
  return { ok: checks.every(({ status }) => status !== 'fail'), version, checks };
}

/** What QUEUE_URL, TEMPLATES_DIR and WEBHOOK_URL name. */
async function examineTargets(
  config: Pick<Config, 'queue' | 'templatesDir' | 'webhooks' | 'apiKeys'>,
  wrong: ReadonlySet<string>,
  wire: Wire,
): Promise<Check[]> {
  const unless = (variable: string, about: Pick<Check, 'id' | 'name'>, run: () => Promise<Check[]>) =>
    wrong.has(variable)
      ? [toCheck({ ...about, target: variable }, skip(`not checked: ${variable} is wrong`))]
      : run();
  const checks = await Promise.all([
    unless('QUEUE_URL', { id: 'queue', name: 'Queue' }, () => checkQueueBackend(config.queue.url)),
    unless('TEMPLATES_DIR', { id: 'templates', name: 'Templates' }, () =>
      checkTemplates(config.templatesDir),
    ),
    unless('WEBHOOK_URL', { id: 'webhook', name: 'Webhook' }, () => checkWebhooks(config, wire)),
  ]);
  return checks.flat();
}

/** What a server has shown. */
interface Visit {
  readonly target: string;
  readonly checks: readonly Check[];
  /** Null if the server does not work, and `trouble` says why. */
  readonly host: Host | null;
  readonly trouble: Trouble | null;
}

async function visit(
  server: SmtpServer,
  needs: SessionNeeds,
  wire: Wire,
  compare: () => Promise<Finding>,
): Promise<Visit> {
  const target = toTarget(server);
  const tls = { id: 'tls', name: 'TLS', target };
  const ehlo = { id: 'ehlo', name: 'EHLO', target };
  const { checks, address, trouble } = await findWay(server, wire, compare);
  if (address === null) {
    const none = skip('not tried: there is no connection');
    return { target, checks: [...checks, toCheck(tls, none), toCheck(ehlo, none)], host: null, trouble };
  }
  const host = { server, address };
  const session = await checkSession(host, needs, wire);
  const all = [
    ...checks,
    toCheck(tls, session.tls, session.tls.durationMs),
    toCheck(ehlo, session.ehlo, session.ehlo.durationMs),
  ];
  return { target, checks: all, host: session.trouble ? null : host, trouble: session.trouble };
}

/** The service goes on to the next server only from one that it cannot reach: see `openTransport`. */
const UNREACHABLE: readonly string[] = ['dns_failed', 'connect_failed', 'connect_timeout'];

/** Whether a failing server keeps mail from going out: not if the service gets by with another. */
function judge(visits: readonly Visit[]): Check[] {
  const decisive = visits.find(({ trouble }) => !trouble || !UNREACHABLE.includes(trouble.error));
  const through = decisive?.host ? decisive.target : null;
  return visits.flatMap(({ checks, target }) =>
    through === null || target === through ? checks : checks.map((check) => relent(check, through)),
  );
}

function relent(check: Check, through: string): Check {
  return check.status === 'fail'
    ? { ...check, status: 'warn', detail: `${check.detail} Mail goes through ${through}.` }
    : check;
}
