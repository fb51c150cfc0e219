import type { ReadCredentials } from '../../core/accounts/credentials.ts';
import type { Fault, Job, Outcome } from '../../core/delivery/outcome.ts';
import type { AttemptObserver, Transport } from '../../core/ports/transport.ts';
import { createLogins } from './auth/login.ts';
import { openPool, type Pool, type PoolResult } from './connection/pool.ts';
import { type Resolve, resolveHost } from './connection/resolve.ts';
import { classify } from './errors/classify.ts';
import type { Progress } from './errors/nodemailer-errors.ts';
import { parseReply } from './errors/reply-parser.ts';
import { toOwnForm } from './mime/mail-options.ts';
import { DEADLINES, type Deadlines, type ServerOptions } from './server-options.ts';

/** How long a server that stood in for a better one is kept before the better one is tried again. */
const RETURN_AFTER_MS = 5 * 60_000;

export interface TransportOptions {
  /** In order of preference; at least one. */
  readonly servers: readonly Pick<ServerOptions, 'host' | 'port' | 'tls'>[];
  /** The account that logs in. */
  readonly user: string;
  /** Null: nobody logs in. */
  readonly credentials: ReadCredentials | null;
  readonly ehloName: string;
  readonly ca?: string | null;
  readonly deadlines?: Deadlines;
  readonly returnAfterMs?: number;
  readonly resolve?: Resolve;
}

/** A server that could not be reached, and why. */
interface Unreachable {
  readonly pool: Pool;
  readonly fault: Fault;
}

/** No message was about to go. */
const NO_SESSION: Progress = { sessionReady: false, bodyStarted: false, bodyEnded: false };

/** The way to Gmail: one pool a server, the first that can be reached. */
export function openTransport(options: TransportOptions): Transport {
  const {
    user,
    credentials,
    ehloName,
    ca = null,
    deadlines = DEADLINES,
    returnAfterMs = RETURN_AFTER_MS,
    resolve = resolveHost,
  } = options;
  const logins = credentials && createLogins(user, credentials, deadlines);
  const pools = options.servers.map((server) =>
    openPool({ ...server, logins, ehloName, ca, deadlines, resolve }),
  );
  let preferred = 0;
  let returnAt = 0;

  /** The server that worked last and those after it; all of them when it is time to try the first again. */
  function candidates(): Pool[] {
    if (preferred > 0 && performance.now() >= returnAt) preferred = 0;
    return [...pools.slice(preferred), ...pools.slice(0, preferred)];
  }

  function settleOn(pool: Pool) {
    const index = pools.indexOf(pool);
    if (index === preferred) return;
    preferred = index;
    returnAt = performance.now() + returnAfterMs;
  }

  /** Asks one server after the other up to the first that can be reached, and stays with it. If there is none: the first, and what all said. */
  async function askInOrder<Answer extends { readonly fault: Fault | null }>(
    ask: (pool: Pool) => Promise<{ readonly answer: Answer; readonly progress: Progress }>,
  ): Promise<{ readonly answer: Answer } | Unreachable> {
    const unreachable: Unreachable[] = [];
    for (const pool of candidates()) {
      const { answer, progress } = await ask(pool);
      if (!answer.fault || !isUnreachable(answer.fault, progress)) {
        settleOn(pool);
        return { answer };
      }
      unreachable.push({ pool, fault: answer.fault });
    }
    return noServer(unreachable);
  }

  return {
    async send(job, watch) {
      const asked = await askInOrder((pool) => sendOnLiveConnection(pool, job, watch));
      if ('answer' in asked) return asked.answer;
      return { accepted: [], refused: [], reply: null, fault: asked.fault, server: asked.pool.server };
    },
    async verify() {
      const asked = await askInOrder(async (pool) => {
        const failure = await pool.verify();
        return {
          answer: { fault: failure && markUnusable(classify(failure.error, NO_SESSION), true) },
          progress: NO_SESSION,
        };
      });
      return 'answer' in asked ? asked.answer.fault : asked.fault;
    },
    closeIdleConnections(atMost) {
      // The one in use comes last: it has what the others leave.
      const others = pools.filter((_pool, i) => i !== preferred);
      const elsewhere = others.reduce((sum, pool) => sum + pool.keep(0), 0);
      return elsewhere + (pools[preferred]?.keep(atMost - elsewhere) ?? 0);
    },
    async close() {
      for (const pool of pools) pool.close();
    },
  };
}

/** A pooled connection that was ended before anything was read is replaced at once: a new one at the latest is not replaced again. */
async function sendOnLiveConnection(pool: Pool, job: Job, watch: AttemptObserver | undefined) {
  for (;;) {
    const result = await pool.send(job, watch);
    const answer = toOutcome(result, pool.server);
    if (!foundDead(result, answer)) return { answer, progress: result.progress };
  }
}

function foundDead(result: PoolResult, { fault }: Outcome): boolean {
  return 'replaceable' in result && result.replaceable && fault?.error.code === 'connection_lost';
}

function toOutcome(result: PoolResult, server: string): Outcome {
  if ('info' in result) {
    const { info, progress } = result;
    return {
      accepted: info.accepted.map(toOwnForm),
      refused: refusedIn(info, progress),
      reply: parseReply(info.response),
      fault: null,
      server,
    };
  }
  const { error, progress, reused } = result;
  const fault = markUnusable(classify(error, progress), !reused && !progress.bodyStarted);
  return { accepted: [], refused: refusedIn(error, progress), reply: fault.error.smtp, fault, server };
}

/** @param isNew the session was new, and the server had not asked for the message */
function markUnusable(fault: Fault, isNew: boolean): Fault {
  return isNew && fault.scope === 'connection' ? { ...fault, noSession: true } : fault;
}

/** The recipients refused at RCPT, as nodemailer lists them with a success and with an error alike. */
function refusedIn(source: unknown, progress: Progress): Outcome['refused'] {
  if (
    typeof source !== 'object' ||
    source === null ||
    !('rejectedErrors' in source) ||
    !Array.isArray(source.rejectedErrors)
  )
    return [];
  return source.rejectedErrors.map((error: { recipient: string }) => ({
    email: toOwnForm(error.recipient),
    fault: classify(error, progress),
  }));
}

/** Whether another server may do better: this one could not be reached, as opposed to answering badly. */
function isUnreachable(fault: Fault, { sessionReady }: Progress): boolean {
  return !sessionReady && ['dns_failed', 'connect_failed', 'connect_timeout'].includes(fault.error.code);
}

/** The first server and its fault, with what every server said. */
function noServer(tried: readonly Unreachable[]): Unreachable {
  const [first] = tried;
  if (!first) throw new Error('a transport needs a server');
  const detail = tried.map(({ pool, fault }) => `${pool.server}: ${fault.error.detail}`).join(' ');
  return { pool: first.pool, fault: { ...first.fault, error: { ...first.fault.error, detail } } };
}
