import { type QueueWorkers, startQueueWorkers } from '../dispatch/queue-workers.ts';
import type { Events } from '../events.ts';
import type { Notice, Outbox } from '../ports/outbox.ts';
import type { Queue } from '../ports/queue.ts';
import type { WebhookSender } from '../ports/webhook-sender.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Waits after the 1st, 2nd, … call that failed, and after every other. */
const FIRST_WAITS_MS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR] as const;
const THEN_MS = 2 * HOUR;
/** How long a notice is retried, counted in waits, so that a jump of the clock does not use it up. */
const RETRY_FOR_MS = 24 * HOUR;

/** Calls of one endpoint at once. Each endpoint has its own: one that is slow holds up no other. */
const LANES = 4;

const WANTS_NO_MORE = 'the endpoint has answered 410 and wants no more';

export interface WebhookDispatcherOptions {
  readonly queue: Queue;
  readonly outbox: Outbox;
  readonly sender: Pick<WebhookSender, 'post'>;
  readonly events: Events;
  /** Epoch ms by the clock of the books: see `Books.now`. */
  readonly now: () => number;
  /** Multiplies every wait: 1, or less to make tests quick. */
  readonly backoffScale: number;
  /** A number from 0 to 1, to spread the waits. */
  readonly random: () => number;
}

/** Sees to it that endpoints get their notices: tries for a day, and says so where it gives up. */
export interface WebhookDispatcher {
  /** Keeps a notice, and calls its endpoint as soon as a lane is free. Never rejects: what cannot be kept is told as `webhook.dropped`. */
  tell(notice: Notice): Promise<void>;
  /** Whether the endpoint has said that it wants no more (410). */
  isGone(url: string): boolean;
  /** Lets those that wanted no more have what comes from now on. */
  forgetGone(): void;
  /**
   * Goes on with what an outbox that outlived the process still holds, and with what other instances keep for these endpoints. What is for an endpoint
   * that is not among them any more is dropped.
   */
  recover(urls: readonly string[]): Promise<void>;
  /** Makes no more calls and resolves when those under way have ended. Notices are still kept. */
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
  const lanes = new Map<string, QueueWorkers>();
  const gone = new Set<string>();
  const underWay = new Set<string>();
  const telling = new Set<Promise<void>>();
  let draining = false;

  function serve(url: string) {
    if (draining || lanes.has(url)) return;
    lanes.set(
      url,
      startQueueWorkers({
        queue,
        events,
        channel: channelOf(url),
        count: LANES,
        handle: (id) => handle(id, channelOf(url)),
      }),
    );
  }

  async function push({ id, url, dueAt }: Notice): Promise<void> {
    await queue.push(id, {
      channel: channelOf(url),
      afterMs: Math.max(0, dueAt - now()),
      priority: 'normal',
    });
    serve(url);
  }

  async function keep(notice: Notice): Promise<void> {
    try {
      if (await outbox.put(notice)) await push(notice);
      else
        events.emit(
          'webhook.dropped',
          notice,
          'there is no room: too many notices wait, most of them for endpoints that do not answer',
        );
    } catch (error) {
      events.emit(
        'webhook.dropped',
        notice,
        `it could not be kept: ${error instanceof Error ? error.message : error}`,
      );
    }
  }

  async function handle(id: string, channel: string): Promise<void> {
    underWay.add(id);
    try {
      const notice = await outbox.get(id);
      if (notice) await attempt(notice);
      else await queue.done(id, channel);
    } finally {
      underWay.delete(id);
    }
  }

  async function attempt(notice: Notice): Promise<void> {
    const { eventId, url, body } = notice;
    if (gone.has(url)) return drop(notice, WANTS_NO_MORE);
    const answer = await sender.post({ url, id: eventId, sentAt: Date.now(), body });
    events.emit('webhook.attempted', notice, answer);
    if (answer.kind === 'taken') return forget(notice);
    if (gone.has(url)) return drop(notice, WANTS_NO_MORE);
    return answer.kind === 'gone' ? abandon(notice) : defer(notice, answer.retryAfterMs ?? 0);
  }

  async function defer(notice: Notice, atLeastMs: number): Promise<void> {
    const leftMs = RETRY_FOR_MS - notice.retriedForMs;
    if (leftMs <= 0) return drop(notice, 'the endpoint has not taken it for a day');
    const failures = notice.failures + 1;
    const usualMs = (FIRST_WAITS_MS[failures - 1] ?? THEN_MS) * (0.8 + 0.4 * random());
    const waitMs = Math.round(Math.min(leftMs, Math.max(usualMs, atLeastMs)));
    const afterMs = waitMs * backoffScale;
    await outbox.put({
      ...notice,
      failures,
      retriedForMs: notice.retriedForMs + waitMs,
      dueAt: now() + afterMs,
    });
    await queue.retry(notice.id, channelOf(notice.url), afterMs);
  }

  /** The endpoint wants no more: what waits for it goes. What is under way ends by itself. */
  async function abandon(notice: Notice): Promise<void> {
    gone.add(notice.url);
    await forget(notice);
    let dropped = 1;
    for await (const other of outbox.pending()) {
      if (other.url !== notice.url || underWay.has(other.id)) continue;
      await forget(other);
      dropped += 1;
    }
    events.emit('webhook.gone', notice.url, dropped);
  }

  async function drop(notice: Notice, reason: string): Promise<void> {
    await forget(notice);
    events.emit('webhook.dropped', notice, reason);
  }

  async function forget({ id, url }: Notice): Promise<void> {
    await outbox.remove(id);
    await queue.done(id, channelOf(url));
  }

  return {
    async tell(notice) {
      const told = keep(notice);
      telling.add(told);
      await told;
      telling.delete(told);
    },
    isGone: (url) => gone.has(url),
    forgetGone() {
      gone.clear();
    },
    async recover(urls) {
      for (const url of urls) serve(url);
      for await (const notice of outbox.pending()) {
        if (urls.includes(notice.url)) await push(notice);
        else await drop(notice, 'its endpoint is not configured any more');
      }
    },
    async drain() {
      await Promise.all(telling);
      draining = true;
      await Promise.all([...lanes.values()].map((each) => each.drain()));
    },
  };
}

/** The channel of the queue in which the notices for an endpoint stand. */
function channelOf(url: string): string {
  return `webhook:${url}`;
}
