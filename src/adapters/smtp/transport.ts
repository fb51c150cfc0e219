import type { Fault, Job, Outcome, Transport } from '../../core/ports.ts';
import { classify } from './classify.ts';
import type { Progress } from './failure.ts';
import { toALabels } from './mime.ts';
import { DEADLINES, type Deadlines, openPool, type Pool, type PoolOptions, type PoolResult } from './pool.ts';
import { parseReply } from './reply-text.ts';

/** How long a server that stood in for a better one is kept before the better one is tried again. */
const RETURN_AFTER_MS = 5 * 60_000;

export interface TransportOptions {
  /** In order of preference; at least one. */
  readonly servers: readonly Pick<PoolOptions, 'host' | 'port' | 'tls'>[];
  readonly auth: PoolOptions['auth'];
  readonly connections: number;
  readonly ehloName: string;
  readonly ca?: string | null;
  readonly deadlines?: Deadlines;
  readonly returnAfterMs?: number;
}

/** The way to Gmail: one pool a server, the first that can be reached. */
export function openTransport(options: TransportOptions): Transport {
  const { auth, connections, ehloName, ca = null, deadlines = DEADLINES, returnAfterMs = RETURN_AFTER_MS } = options;
  const pools = options.servers.map((server) => openPool({ ...server, auth, connections, ehloName, ca, deadlines }));
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

  return {
    async send(job, onSession) {
      const unreachable: { pool: Pool; fault: Fault }[] = [];
      for (const pool of candidates()) {
        const result = await sendOnLiveConnection(pool, job, onSession, connections);
        const outcome = toOutcome(result, pool.server);
        if (!outcome.fault || !isUnreachable(outcome.fault, result)) {
          settleOn(pool);
          return outcome;
        }
        unreachable.push({ pool, fault: outcome.fault });
      }
      return noServer(unreachable);
    },
    async close() {
      for (const pool of pools) pool.close();
    },
  };
}

/** A pooled connection that died in silence is replaced at once: at most as often as there are connections to be dead. */
async function sendOnLiveConnection(pool: Pool, job: Job, onSession: () => void, connections: number): Promise<PoolResult> {
  let result = await pool.send(job, onSession);
  for (let replaced = 0; 'stale' in result && result.stale && replaced < connections; replaced += 1) {
    result = await pool.send(job, onSession);
  }
  return result;
}

function toOutcome(result: PoolResult, server: string): Outcome {
  if ('info' in result) {
    const { info, progress } = result;
    return {
      accepted: info.accepted.map(toALabels),
      refused: refusedIn(info, progress),
      reply: parseReply(info.response),
      fault: null,
      server,
    };
  }
  const { error, progress } = result;
  const fault = classify(error, progress);
  return { accepted: [], refused: refusedIn(error, progress), reply: fault.error.smtp, fault, server };
}

/** The recipients refused at RCPT, as nodemailer lists them with a success and with an error alike. */
function refusedIn(source: unknown, progress: Progress): Outcome['refused'] {
  if (typeof source !== 'object' || source === null || !('rejectedErrors' in source) || !Array.isArray(source.rejectedErrors)) return [];
  return source.rejectedErrors.map((error: { recipient: string }) => ({
    email: toALabels(error.recipient),
    fault: classify(error, progress),
  }));
}

/** Whether another server may do better: this one could not be reached, as opposed to answering badly. */
function isUnreachable(fault: Fault, result: PoolResult): boolean {
  const neverReady = 'progress' in result && !result.progress.sessionReady;
  return neverReady && ['dns_failed', 'connect_failed', 'connect_timeout'].includes(fault.error.code);
}

/** The first server’s fault, with what every server said. */
function noServer(tried: readonly { pool: Pool; fault: Fault }[]): Outcome {
  const [first] = tried;
  if (!first) throw new Error('a transport needs a server');
  const detail = tried.map(({ pool, fault }) => `${pool.server}: ${fault.error.detail}`).join(' ');
  const fault = { ...first.fault, error: { ...first.fault.error, detail } };
  return { accepted: [], refused: [], reply: null, fault, server: first.pool.server };
}
