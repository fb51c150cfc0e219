import { BACKOFF_MS, backoffStep, withJitter } from '../dispatch/backoff.ts';
import { type QueueWorkers, startQueueWorkers } from '../dispatch/queue-workers.ts';
import type { Events } from '../events.ts';
import type { Notice, Outbox } from '../ports/outbox.ts';
import type { Queue } from '../ports/queue.ts';
import type { WebhookSender } from '../ports/webhook-sender.ts';
import { DAY, HOUR } from '../time.ts';
import { channelOf, pushNotice } from './notice-queue.ts';

/** Waits after the 1st, 2nd, … failed call. */
const WEBHOOK_BACKOFF_MS = [...BACKOFF_MS, 2 * HOUR];
/**
 * Total time that a notice is retried, counted in waits, so that a clock jump does not use it up.
 */
const RETRY_FOR_MS = DAY;

/** Calls at once per endpoint. Each endpoint has its own workers: a slow one delays no other. */
const WORKERS_PER_ENDPOINT = 4;

const OUTBOX_FULL =
  'the outbox is full: too many notices wait, most of them for endpoints that do not respond';
export const ENDPOINT_GONE = 'the endpoint responded 410 Gone';

export interface WebhookDispatcherOptions {
  readonly queue: Queue;
  readonly outbox: Outbox;
  readonly sender: Pick<WebhookSender, 'post'>;
  readonly events: Events;
  /** Returns epoch ms by the clock of the shared state. */
  readonly now: () => number;
  /** Multiplies every wait: 1, or less in tests. */
  readonly backoffScale: number;
  /** Returns a number from 0 to 1, for jitter. */
  readonly random: () => number;
}

/** Delivers notices to their endpoints, with retries for a day. */
export interface WebhookDispatcher {
  /** Whether the endpoint has responded 410 Gone. */
  isGone(url: string): boolean;
  /** Lets endpoints that responded 410 receive new notices again: this one, or all. */
  resetGone(url?: string): void;
  /** Calls these endpoints for their notices, whichever instance stores them. */
  serve(urls: readonly string[]): void;
  /**
   * Serves these endpoints, and resumes the notices in an outbox that outlived the process. Drops
   * notices for endpoints that are no longer configured.
   */
  recover(urls: readonly string[]): Promise<void>;
  /** Makes no more calls. Resolves when the calls under way have ended. */
  drain(): Promise<void>;
}

export function createWebhookDispatcher({
  queue,
  outbox,
  sender,
  events,
  now,
  backoffScale,
  random,
}: WebhookDispatcherOptions): WebhookDispatcher {
  const workers = new Map<string, QueueWorkers>();
  const gone = new Set<string>();
  const inFlight = new Set<string>();
  let draining = false;

  outbox.onDropped((notice) => events.emit('webhook.dropped', notice, OUTBOX_FULL));

  function serve(urls: readonly string[]) {
    for (const url of urls) if (!draining && !workers.has(url)) startWorkers(url);
  }

  function startWorkers(url: string) {
    workers.set(
      url,
      startQueueWorkers({
        queue,
        events,
        channel: channelOf(url),
        count: WORKERS_PER_ENDPOINT,
        handle: (id) => handle(id, channelOf(url)),
      }),
    );
  }

  async function handle(id: string, channel: string): Promise<void> {
    inFlight.add(id);
    try {
      const notice = await outbox.get(id);
      if (notice) await attempt(notice);
      else await queue.done(id, channel);
    } finally {
      inFlight.delete(id);
    }
  }

  async function attempt(notice: Notice): Promise<void> {
    const { eventId, url, key = null, body, trace } = notice;
    const isUnwanted = () => gone.has(url) && !notice.replayed;
    if (isUnwanted()) return drop(notice, ENDPOINT_GONE, 0);
    const result = await sender.post({ url, key, id: eventId, sentAt: Date.now(), body, trace });
    events.emit('webhook.attempted', notice, result);
    if (result.kind === 'taken') {
      // A call that began before the 410 does not end it.
      if (notice.replayed) gone.delete(url);
      return remove(notice);
    }
    if (result.kind === 'gone' && !gone.has(url)) return abandonEndpoint(notice);
    return result.kind === 'gone' || isUnwanted()
      ? drop(notice, ENDPOINT_GONE, 1)
      : defer(notice, result.reason, result.retryAfterMs ?? 0);
  }

  async function defer(notice: Notice, reason: string, minWaitMs: number): Promise<void> {
    const leftMs = RETRY_FOR_MS - notice.retriedForMs;
    if (leftMs <= 0)
      return drop(notice, `the endpoint did not accept it within a day; the last call: ${reason}`, 1);
    const failures = notice.failures + 1;
    const usualMs = withJitter(backoffStep(WEBHOOK_BACKOFF_MS, failures), random);
    const waitMs = Math.round(Math.min(leftMs, Math.max(usualMs, minWaitMs)));
    const afterMs = waitMs * backoffScale;
    await outbox.put({
      ...notice,
      failures,
      reason,
      retriedForMs: notice.retriedForMs + waitMs,
      dueAt: now() + afterMs,
    });
    await queue.retry(notice.id, channelOf(notice.url), afterMs);
  }

  /**
   * Drops the waiting notices of an endpoint that responded 410, except for replayed ones. Calls in
   * flight end normally.
   */
  async function abandonEndpoint(notice: Notice): Promise<void> {
    gone.add(notice.url);
    await giveUp(notice, ENDPOINT_GONE, 1);
    let dropped = 1;
    for await (const waiting of outbox.pending()) {
      if (waiting.url !== notice.url || waiting.replayed || inFlight.has(waiting.id)) continue;
      await giveUp(waiting, ENDPOINT_GONE, 0);
      dropped += 1;
    }
    events.emit('webhook.gone', notice.url, dropped);
  }

  /** @param calls number of calls that the notice does not count yet */
  async function drop(notice: Notice, reason: string, calls: number): Promise<void> {
    await giveUp(notice, reason, calls);
    events.emit('webhook.dropped', notice, reason);
  }

  async function giveUp(notice: Notice, reason: string, calls: number): Promise<void> {
    const { id, url, failures } = notice;
    await outbox.fail({ ...notice, failures: failures + calls, reason, finishedAt: Date.now() });
    await queue.done(id, channelOf(url));
  }

  async function remove({ id, url }: Notice): Promise<void> {
    await outbox.remove(id);
    await queue.done(id, channelOf(url));
  }

  return {
    isGone: (url) => gone.has(url),
    resetGone(url) {
      if (url === undefined) gone.clear();
      else gone.delete(url);
    },
    serve,
    async recover(urls) {
      serve(urls);
      for await (const notice of outbox.pending()) {
        if (urls.includes(notice.url)) await pushNotice(queue, notice, notice.dueAt - now());
        else await drop(notice, 'its endpoint is no longer configured', 0);
      }
    },
    async drain() {
      draining = true;
      await Promise.all([...workers.values()].map((each) => each.drain()));
    },
  };
}
