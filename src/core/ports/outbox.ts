import type { TraceContext } from '../delivery/trace-context.ts';

/** An event that has not been delivered to a webhook endpoint yet. */
export interface Notice {
  /** `evt_…`, the same for every attempt and every endpoint. */
  readonly eventId: string;
  /** Id of this notice. */
  readonly id: string;
  /** The endpoint. */
  readonly url: string;
  /**
   * Name of the API key whose `webhook_url` the endpoint is, and whose secrets sign the calls.
   * Missing for WEBHOOK_URL, and in notices of version 0.2, which WEBHOOK_SECRET signs.
   */
  readonly key?: string;
  /** `message.sent`, … */
  readonly type: string;
  /** Id of the message, or the account. */
  readonly about: string;
  /** The trace of the message. Missing without one, and in notices of version 0.2. */
  readonly trace?: TraceContext | undefined;
  /** JSON. */
  readonly body: string;
  readonly createdAt: number;
  /** When its endpoint is called next, in epoch ms by `SharedState.now`. */
  readonly dueAt: number;
  readonly failures: number;
  /** How much of the day of retries has been used, as the sum of the waits. */
  readonly retriedForMs: number;
  /** A client requested the call, so it is made even if the endpoint responded 410 before. */
  readonly replayed?: true;
  /** Why the latest call failed. Missing before, and in notices of version 0.2. */
  readonly reason?: string;
  /** When it was given up, in epoch ms. Missing while it waits. */
  readonly finishedAt?: number;
}

export const NOTICE_STATUSES = ['waiting', 'failed'] as const;
export type NoticeStatus = (typeof NOTICE_STATUSES)[number];

/** Filters and page of a list of notices. A filter that is null matches any. */
export interface NoticeQuery {
  /** `Notice.key`. */
  readonly key: string | null;
  readonly about: string | null;
  readonly status: NoticeStatus | null;
  readonly limit: number;
  /** Only notices after this position, which an earlier list returned. */
  readonly after: string | null;
}

/** @property position opaque; stays valid while notices are added and removed */
export interface ListedNotice {
  readonly notice: Notice;
  readonly position: string;
}

export function statusOf({ finishedAt }: Notice): NoticeStatus {
  return finishedAt === undefined ? 'waiting' : 'failed';
}

/** Whether a notice matches the filters of a query. Ignores `limit` and `after`. */
export function matchesNotice(
  notice: Notice,
  { key, about, status }: Pick<NoticeQuery, 'key' | 'about' | 'status'>,
): boolean {
  return (
    (key === null || notice.key === key) &&
    (about === null || notice.about === about) &&
    (status === null || statusOf(notice) === status)
  );
}

/**
 * Stores notices until they are delivered or given up. The queue decides when they are due. They
 * are added with the change that they report: see `DeliveryStore.update` and `SharedValue.change`.
 *
 * Bounded: the more an endpoint holds, the more must be free for it to get another. So one endpoint
 * that is down never uses the whole capacity.
 */
export interface Outbox {
  /**
   * Adds a notice and enqueues its id, or replaces the notice. Returns false, and stores nothing,
   * when there is no capacity for another. Replacing always succeeds.
   */
  put(notice: Notice): Promise<boolean>;
  /** Returns a waiting notice. */
  get(id: string): Promise<Notice | null>;
  /** Removes a waiting notice. */
  remove(id: string): Promise<void>;
  /** Iterates over all waiting notices. */
  pending(): AsyncIterable<Notice>;
  /**
   * Makes a waiting notice a failed one, with its `finishedAt`. It is kept for RETAIN, or until
   * waiting notices need its capacity: the oldest failed ones are dropped first.
   */
  fail(notice: Notice): Promise<void>;
  /**
   * Makes a failed notice wait again, and enqueues its id. Returns false, and changes nothing, if it
   * is not kept any more, or if there is no capacity.
   */
  replay(notice: Notice): Promise<boolean>;
  /** Returns a waiting or failed notice. */
  find(id: string): Promise<Notice | null>;
  /** Lists waiting and failed notices, newest first. */
  list(query: NoticeQuery): Promise<readonly ListedNotice[]>;
  /** Calls the listener with each notice of a stored change that there was no capacity for. */
  onDropped(listener: (notice: Notice) => void): void;
}
