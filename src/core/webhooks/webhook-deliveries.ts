import { type Caller, isAdmin } from '../auth/caller.ts';
import { AppError } from '../errors.ts';
import { type ListedNotice, type Notice, type NoticeQuery, type Outbox, statusOf } from '../ports/outbox.ts';
import type { Queue } from '../ports/queue.ts';
import { channelOf } from './notice-queue.ts';
import type { Endpoint } from './notices.ts';

/**
 * Reads waiting and failed notices on behalf of a caller, and sends failed ones again. A key sees
 * the notices of its own messages to its own endpoint, an admin all.
 */
export interface WebhookDeliveries {
  /** Newest first. */
  list(query: Omit<NoticeQuery, 'key'>, caller: Caller): Promise<readonly ListedNotice[]>;
  /**
   * Makes a failed notice wait for a call, with the same event id and a new day of retries, even if
   * its endpoint responded 410. Calls the endpoint for one that waits now, in the same way.
   *
   * @throws {AppError} `not_found` if it is unknown, or its endpoint is not configured any more;
   *   `queue_full`
   */
  replay(id: string, caller: Caller): Promise<Notice>;
}

export interface WebhookDeliveriesDeps {
  readonly outbox: Outbox;
  readonly queue: Pick<Queue, 'bringForward'>;
  /** Returns every configured endpoint. */
  readonly endpoints: () => readonly Endpoint[];
  /** Returns epoch ms by the clock of the shared state. */
  readonly now: () => number;
}

export function createWebhookDeliveries({
  outbox,
  queue,
  endpoints,
  now,
}: WebhookDeliveriesDeps): WebhookDeliveries {
  async function find(id: string, caller: Caller): Promise<Notice> {
    const notice = await outbox.find(id);
    if (notice && (isAdmin(caller) || notice.key === caller.name)) return notice;
    throw new AppError('not_found', { detail: 'No webhook delivery with this id is waiting or kept.' });
  }

  return {
    list: (query, caller) => outbox.list({ ...query, key: isAdmin(caller) ? null : caller.name }),
    async replay(id, caller) {
      const found = await find(id, caller);
      const dueAt = now();
      if (statusOf(found) === 'waiting') {
        const marked = { ...found, replayed: true as const, dueAt };
        await outbox.put(marked);
        await queue.bringForward(id, channelOf(found.url), 0);
        return marked;
      }
      const { reason: _reason, finishedAt: _finishedAt, ...notice } = found;
      if (!endpoints().some(({ url, key }) => url === notice.url && key === notice.key))
        throw new AppError('not_found', { detail: 'The endpoint of this delivery is no longer configured.' });
      const again = { ...notice, replayed: true as const, dueAt, failures: 0, retriedForMs: 0 };
      if (await outbox.replay(again)) return again;
      await find(id, caller);
      throw new AppError('queue_full', { detail: 'Too many webhook deliveries wait.' });
    },
  };
}
