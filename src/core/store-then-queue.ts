import { type Delivery, dueAfterMs } from './delivery/delivery.ts';
import { channelOf } from './delivery/lookup.ts';
import type { DeliveryChange, DeliveryStore } from './ports/delivery-store.ts';
import type { Notice } from './ports/outbox.ts';
import type { Queue } from './ports/queue.ts';
import { runOrRetryInBackground } from './retry-until-available.ts';
import { pushNotice, type QueuedOutbox } from './webhooks/notice-queue.ts';

/** A store of deliveries that does not know the queue. */
export interface RecordStore extends Omit<DeliveryStore, 'update' | 'getTaken'> {
  update(from: Delivery, to: Delivery): Promise<boolean>;
  /**
   * Does the same, and stores the notices in the same step as far as the outbox has capacity.
   * Returns the stored ones, or null if the delivery has not changed.
   */
  updateWithNotices(
    from: Delivery,
    to: Delivery,
    notices: readonly Notice[],
  ): Promise<readonly Notice[] | null>;
}

const NONE: readonly Notice[] = [];

/**
 * Makes a DeliveryStore of a store and a queue that cannot change in one step: the delivery is
 * stored first. The backend must enqueue all unsettled deliveries and all notices when it starts.
 */
export function storeThenQueue(
  records: RecordStore,
  queue: Queue,
  outbox: Pick<QueuedOutbox, 'drop'>,
): DeliveryStore {
  return {
    ...records,
    getTaken: (id) => records.get(id),
    async insert(delivery) {
      const stored = await records.insert(delivery);
      await runOrRetryInBackground(() => enqueue(queue, stored));
      return stored;
    },
    async update(from, to, effect = null, notices = NONE) {
      const stored =
        notices.length > 0
          ? await records.updateWithNotices(from, to, notices)
          : (await records.update(from, to)) && NONE;
      if (!stored) return false;
      if (effect !== null || stored.length > 0)
        await runOrRetryInBackground(() => applyToQueue(queue, { from, to, effect, notices: stored }));
      for (const notice of notices) if (!stored.includes(notice)) outbox.drop(notice);
      return true;
    },
  };
}

/** Changes the queue as a stored change of a delivery requires. Repeating it changes nothing. */
export async function applyToQueue(queue: Queue, change: DeliveryChange): Promise<void> {
  await applyEffect(queue, change);
  for (const notice of change.notices) await pushNotice(queue, notice, 0);
}

function applyEffect(queue: Queue, { from, to, effect }: DeliveryChange) {
  const { id, priority } = to;
  switch (effect?.kind) {
    case 'push':
      return queue.push(id, { channel: channelOf(to), afterMs: effect.afterMs, priority });
    case 'retry':
      return queue.retry(id, channelOf(from), effect.afterMs, channelOf(to));
    case 'reschedule':
      return queue.reschedule(id, channelOf(from), effect.afterMs);
    case 'done':
      return queue.done(id, channelOf(from));
  }
}

function enqueue(queue: Queue, delivery: Delivery): Promise<void> {
  const { id, priority } = delivery;
  const channel = channelOf(delivery);
  return queue.push(id, { channel, afterMs: dueAfterMs(delivery, Date.now()), priority });
}
