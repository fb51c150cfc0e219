import type { Logger } from 'pino';
import type { Backend } from '../core/ports/backend.ts';
import type { ServiceParts } from './parts.ts';

/**
 * Shares of SHUTDOWN_TIMEOUT: for attempts, then connections, then the queue. The rest is spare.
 */
const ATTEMPTS_SHARE = 0.8;
const CONNECTIONS_SHARE = 0.06;
const QUEUE_SHARE = 0.04;

/** Ids per log line. */
const IDS_PER_LINE = 200;

export interface ShutdownSteps {
  /**
   * Runs the steps once, and resolves within SHUTDOWN_TIMEOUT. Further calls return the same
   * promise.
   */
  close(): Promise<void>;
  /** Returns the names of the parts that `close` still waits for or has given up. */
  unfinished(): string[];
}

/** @param app Stops listening when closed. */
export function createShutdownSteps(
  {
    config,
    logger,
    backend,
    deliveryEngine,
    webhooks,
    alerts,
    gmailVolume,
    suppressions,
    templates,
    ...parts
  }: ServiceParts,
  app: { close(): Promise<unknown> },
): ShutdownSteps {
  const { shutdownTimeoutMs } = config;
  const unfinished = new Set<string>();
  let closing: Promise<void> | undefined;

  /** Lists a part as unfinished until its work is done. A part that fails to close stays listed. */
  async function track(part: string, work: Promise<unknown>): Promise<void> {
    unfinished.add(part);
    await work;
    unfinished.delete(part);
  }

  async function runSteps(): Promise<void> {
    parts.draining.abort();
    parts.waiters.release();
    const attempts = track('attempts', deliveryEngine.drain());
    // Webhooks and alerts drain last, so that endpoints hear of the last attempts.
    const drained = attempts.then(() =>
      Promise.all([
        track('webhooks', webhooks.drain()),
        track('alerts', alerts?.drain() ?? Promise.resolve()),
        track('counts', gmailVolume.drain()),
        track('sent index', parts.inbound?.sentIndexWriter.drain() ?? Promise.resolve()),
      ]),
    );
    await settleWithin(shutdownTimeoutMs * ATTEMPTS_SHARE, [drained]);
    await settleWithin(shutdownTimeoutMs * CONNECTIONS_SHARE, [
      webhooks.close(),
      alerts?.close(),
      track('SMTP connections', deliveryEngine.close()),
      drained.then(() => track('suppressions', suppressions.drain())),
      track('HTTP requests', app.close()),
      track('backup', parts.backupSocket?.close() ?? Promise.resolve()),
    ]);
    const lostCount = await logUndelivered(backend, logger);
    await settleWithin(shutdownTimeoutMs * QUEUE_SHARE, [
      track('templates', templates.close()),
      track('queue', backend.close()),
      track('traces', parts.tracing?.flush() ?? Promise.resolve()),
    ]);
    const line = { lost_count: lostCount, unfinished: unfinished.size > 0 ? [...unfinished] : undefined };
    logger.info(line, 'stopped');
  }

  return {
    close: () => (closing ??= runSteps()),
    unfinished: () => [...unfinished],
  };
}

/**
 * Logs the ids of messages and events that a backend in memory loses.
 *
 * @returns The number of messages.
 */
async function logUndelivered({ store, outbox, durability }: Backend, logger: Logger): Promise<number> {
  if (durability !== 'memory') return 0;
  const messages: string[] = [];
  const eventIds: string[] = [];
  for await (const { id } of store.unsettled()) messages.push(id);
  for await (const { eventId } of outbox.pending()) eventIds.push(eventId);
  logLost(messages, 'accepted messages lost at shutdown (in-memory queue)', logger);
  logLost(eventIds, 'undelivered webhook events lost at shutdown (in-memory queue)', logger);
  return messages.length;
}

function logLost(ids: readonly string[], message: string, logger: Logger): void {
  for (let start = 0; start < ids.length; start += IDS_PER_LINE)
    logger.warn({ lost: ids.slice(start, start + IDS_PER_LINE) }, message);
}

/** Waits until all promises are settled, but at most `ms`. */
async function settleWithin(ms: number, promises: readonly (Promise<unknown> | undefined)[]): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([Promise.allSettled(promises), late]);
  clearTimeout(timer);
}
