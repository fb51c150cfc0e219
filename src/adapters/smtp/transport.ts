import type { ReadCredentials } from '../../core/accounts/credentials.ts';
import { type Fault, type Job, type Outcome, UNREACHABLE_CODES } from '../../core/delivery/outcome.ts';
import { parseReply } from '../../core/delivery/smtp-reply.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { AttemptObserver, Transport } from '../../core/ports/transport.ts';
import { MINUTE } from '../../core/time.ts';
import { createLoginProvider, type LoginProvider } from '../mail-server/login.ts';
import { type Resolve, resolveHost } from '../mail-server/resolve.ts';
import { openPool, type Pool, type PoolResult } from './connection/pool.ts';
import { classify, classifyReply, selectDecisive } from './errors/classify.ts';
import type { AttemptProgress } from './errors/nodemailer-errors.ts';
import { DEADLINES, type Deadlines, type ServerOptions } from './server-options.ts';

/** How long a fallback server is used before the preferred one is tried again, in ms. */
const RETURN_AFTER_MS = 5 * MINUTE;

export interface TransportOptions {
  /** In order of preference; at least one. */
  readonly servers: readonly Pick<ServerOptions, 'host' | 'port' | 'tls' | 'login'>[];
  /** User name of the account. */
  readonly user: string;
  /** Null: the transport does not log in. */
  readonly credentials: ReadCredentials | null;
  readonly ehloName: string;
  readonly ca?: string | null;
  readonly deadlines?: Deadlines;
  readonly returnAfterMs?: number;
  readonly resolve?: Resolve;
}

export interface SmtpTransport extends Transport {
  /** The current credentials, which the account's mailbox can share. Null if none are used. */
  readonly login: LoginProvider | null;
  /**
   * Uses other credentials from the next login on. Closes connections of the former ones: those that
   * are idle now, busy ones after their message. Returns false if the credentials are the same, or
   * none are used.
   */
  replaceCredentials(credentials: ReadCredentials): boolean;
}

/** A server that could not be reached, and why. */
interface UnreachableServer {
  readonly pool: Pool;
  readonly fault: Fault;
}

/**
 * Faults of a session: the server judged it by IP address and EHLO name, and may judge a new one
 * otherwise.
 */
const SESSION_CODES: readonly ErrorCode[] = ['relay_denied', 'ehlo_refused'];

/** The progress of a login without a message. */
const NOT_STARTED: AttemptProgress = { sessionReady: false, bodyStarted: false, bodyEnded: false };

/**
 * Opens the transport of one account: one connection pool per server, using the first server that
 * can be reached.
 */
export function openTransport(options: TransportOptions): SmtpTransport {
  const {
    user,
    credentials,
    ehloName,
    ca = null,
    deadlines = DEADLINES,
    returnAfterMs = RETURN_AFTER_MS,
    resolve = resolveHost,
  } = options;
  const loginProvider = credentials && createLoginProvider(user, credentials, deadlines.tokenMs);
  const pools = options.servers.map((server) =>
    openPool({ ...server, loginProvider, ehloName, ca, deadlines, resolve }),
  );
  let currentIndex = 0;
  let returnAt = 0;

  /**
   * Returns the pools in the order to try: from the one that worked last, or from the first if its
   * retry is due.
   */
  function poolsToTry(): Pool[] {
    if (currentIndex > 0 && performance.now() >= returnAt) currentIndex = 0;
    return [...pools.slice(currentIndex), ...pools.slice(0, currentIndex)];
  }

  function useFromNowOn(pool: Pool) {
    const index = pools.indexOf(pool);
    if (index === currentIndex) return;
    currentIndex = index;
    returnAt = performance.now() + returnAfterMs;
  }

  /** Runs `attempt` on one server after the other, until one can be reached. */
  async function tryServers<Result extends { readonly fault: Fault | null }>(
    attempt: (pool: Pool) => Promise<{ readonly result: Result; readonly progress: AttemptProgress }>,
  ): Promise<
    | { readonly kind: 'reached'; readonly result: Result }
    | ({ readonly kind: 'unreachable' } & UnreachableServer)
  > {
    const unreachable: UnreachableServer[] = [];
    for (const pool of poolsToTry()) {
      const { result, progress } = await attempt(pool);
      if (!result.fault || !isUnreachable(result.fault, progress)) {
        useFromNowOn(pool);
        return { kind: 'reached', result };
      }
      unreachable.push({ pool, fault: result.fault });
    }
    return { kind: 'unreachable', ...summarize(unreachable) };
  }

  return {
    login: loginProvider,
    async send(job, observer) {
      const tried = await tryServers((pool) => sendOnLiveConnection(pool, job, observer));
      if (tried.kind === 'reached') return tried.result;
      const { pool, fault } = tried;
      return { accepted: [], refused: [], reply: null, fault, server: pool.server };
    },
    async verify() {
      const tried = await tryServers(async (pool) => {
        const failure = await pool.verify();
        const fault = failure && withNoSession(classify(failure.error, NOT_STARTED), true);
        return { result: { fault }, progress: NOT_STARTED };
      });
      return tried.kind === 'reached' ? tried.result.fault : tried.fault;
    },
    closeIdleConnections(maxConnections) {
      // The current pool comes last, so that it keeps what the others do not use.
      const otherPools = pools.filter((_pool, index) => index !== currentIndex);
      const elsewhere = otherPools.reduce((sum, pool) => sum + pool.closeIdle(0), 0);
      return elsewhere + (pools[currentIndex]?.closeIdle(maxConnections - elsewhere) ?? 0);
    },
    replaceCredentials(next) {
      const isChanged = loginProvider?.replace(next) ?? false;
      if (isChanged) for (const pool of pools) pool.closeFormer();
      return isChanged;
    },
    async close() {
      for (const pool of pools) pool.close();
    },
  };
}

/**
 * Sends the message. Replaces a pooled connection that turns out to be dead before any part of the
 * message was read. Ends, since a new connection is never replaced.
 */
async function sendOnLiveConnection(pool: Pool, job: Job, observer: AttemptObserver | undefined) {
  for (;;) {
    const poolResult = await pool.send(job, observer);
    const result = toOutcome(poolResult, job, pool.server);
    if (isDeadConnection(poolResult, result)) continue;
    if (result.fault && SESSION_CODES.includes(result.fault.error.code)) pool.closeIdle(0);
    return { result, progress: poolResult.progress };
  }
}

function isDeadConnection({ replaceable }: PoolResult, { fault }: Outcome): boolean {
  return replaceable && fault?.error.code === 'connection_lost';
}

function toOutcome(poolResult: PoolResult, job: Job, server: string): Outcome {
  const { progress, reused } = poolResult;
  const failedEarly = !reused && !progress.bodyStarted;
  const failed = (fault: Fault, refused: Outcome['refused']): Outcome => {
    const marked = withNoSession(fault, failedEarly);
    return { accepted: [], refused, reply: marked.error.smtp, fault: marked, server };
  };
  if (poolResult.kind === 'failed') return failed(classify(poolResult.error, progress), []);
  const { transaction } = poolResult;
  const refused = transaction.refused.map(({ index, reply }) => ({
    email: job.recipients[index] as string,
    fault: classifyReply(parseReply(reply.text), 'rcpt'),
  }));
  switch (transaction.kind) {
    case 'accepted': {
      const missed = new Set(transaction.refused.map(({ index }) => index));
      const accepted = job.recipients.filter((_, index) => !missed.has(index));
      return { accepted, refused, reply: parseReply(transaction.reply.text), fault: null, server };
    }
    case 'refused': {
      const { stage, reply } = transaction;
      const faults = refused.map(({ fault }) => fault);
      return failed(
        stage === 'rcpt' ? selectDecisive(faults) : classifyReply(parseReply(reply.text), stage),
        refused,
      );
    }
    case 'broken':
      return failed(classify(transaction.error, progress), refused);
  }
}

/** @param failedEarly the session was new, and the server had not asked for the message */
function withNoSession(fault: Fault, failedEarly: boolean): Fault {
  return failedEarly && fault.scope === 'connection' ? { ...fault, noSession: true } : fault;
}

/**
 * True if the server could not be reached, so that another one may succeed. False if it sent any
 * reply.
 */
function isUnreachable(fault: Fault, { sessionReady }: AttemptProgress): boolean {
  return !sessionReady && UNREACHABLE_CODES.includes(fault.error.code);
}

/** Returns the first server and its fault, with a detail that lists the failure of every server. */
function summarize(servers: readonly UnreachableServer[]): UnreachableServer {
  const [first] = servers;
  if (!first) throw new Error('a transport needs a server');
  const detail = servers.map(({ pool, fault }) => `${pool.server}: ${fault.error.detail}`).join(' ');
  return { pool: first.pool, fault: { ...first.fault, error: { ...first.fault.error, detail } } };
}
