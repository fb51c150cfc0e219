import type { SmtpServer } from '../../config/smtp-url.ts';
import { UNREACHABLE_CODES } from '../../core/delivery/outcome.ts';
import { type Check, type CheckResult, skip, toCheck } from '../check.ts';
import type { FailedResult } from '../net/error-diagnosis.ts';
import type { NetworkOptions } from '../net/sockets.ts';
import { checkReachability, toTarget } from './reachability.ts';
import { checkSession, type ReachableServer, type SessionRequirements } from './smtp-session.ts';

/** The checks of all servers, and the first server that works; null if none does. */
export interface ServersResult {
  readonly checks: readonly Check[];
  readonly reachable: ReachableServer | null;
}

/**
 * Checks DNS, TCP, TLS and EHLO of every server.
 *
 * @param compare checks port 443 of a well-known host; called only if a mail port times out
 */
export async function checkSmtpServers(
  servers: readonly SmtpServer[],
  requirements: SessionRequirements,
  network: NetworkOptions,
  compare: () => Promise<CheckResult>,
): Promise<ServersResult> {
  const results = await Promise.all(
    servers.map((server) => checkServer(server, requirements, network, compare)),
  );
  const reachable = results.find((result) => result.reachable)?.reachable ?? null;
  return { checks: downgradeUnneeded(results), reachable };
}

interface ServerResult {
  readonly target: string;
  readonly checks: readonly Check[];
  /** Null if the server does not work; `failure` then says why. */
  readonly reachable: ReachableServer | null;
  readonly failure: FailedResult | null;
}

async function checkServer(
  server: SmtpServer,
  requirements: SessionRequirements,
  network: NetworkOptions,
  compare: () => Promise<CheckResult>,
): Promise<ServerResult> {
  const target = toTarget(server);
  const tls = { id: 'tls', name: 'TLS', target };
  const ehlo = { id: 'ehlo', name: 'EHLO', target };
  const { checks, address, failure } = await checkReachability(server, network, compare);
  if (address === null) {
    const skipped = skip('not tried: there is no connection');
    const allChecks = [...checks, toCheck(tls, skipped), toCheck(ehlo, skipped)];
    return { target, checks: allChecks, reachable: null, failure };
  }
  const reachable = { server, address };
  const session = await checkSession(reachable, requirements, network);
  const allChecks = [
    ...checks,
    toCheck(tls, session.tls, session.tls.durationMs),
    toCheck(ehlo, session.ehlo, session.ehlo.durationMs),
  ];
  return {
    target,
    checks: allChecks,
    reachable: session.failure ? null : reachable,
    failure: session.failure,
  };
}

/**
 * Downgrades failures of the other servers to warnings if the service can send through one of them.
 * The service tries the next server only if one is unreachable: see `openTransport`.
 */
function downgradeUnneeded(results: readonly ServerResult[]): Check[] {
  const used = results.find(({ failure }) => !failure || !UNREACHABLE_CODES.includes(failure.error));
  const usedTarget = used?.reachable ? used.target : null;
  return results.flatMap(({ checks, target }) =>
    usedTarget === null || target === usedTarget
      ? checks
      : checks.map((check) => downgradeToWarning(check, usedTarget)),
  );
}

function downgradeToWarning(check: Check, usedTarget: string): Check {
  return check.status === 'fail'
    ? { ...check, status: 'warn', detail: `${check.detail} Mail is sent through ${usedTarget}.` }
    : check;
}
