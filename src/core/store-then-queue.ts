import { type Delivery, dueAfterMs } from './delivery/delivery.ts';
import type { DeliveryChange, DeliveryStore } from './ports/delivery-store.ts';
import type { Queue } from './ports/queue.ts';
import { runOrRetryInBackground } from './retry-until-available.ts';

/** A store of deliveries that does not know the queue. */
export interface RecordStore extends Omit<DeliveryStore, 'update' | 'getTaken'> {
  update(from: Delivery, to: Delivery): Promise<boolean>;
}

/**
 * Makes a DeliveryStore of a store and a queue that cannot change in one step: the delivery is
 * stored first. The backend must enqueue all unsettled deliveries when it starts.
 */
export function storeThenQueue(records: RecordStore, queue: Queue): DeliveryStore {
  return {
    ...records,
    getTaken: (id) => records.get(id),
    async insert(delivery) {
      const stored = await records.insert(delivery);
      await runOrRetryInBackground(() => enqueue(queue, stored));
      return stored;
    },
    async update(from, to, effect = null) {
      if (!(await records.update(from, to))) return false;
      await runOrRetryInBackground(() => applyToQueue(queue, { from, to, effect }));
      return true;
    },
  };
}

/** Changes the queue as a stored change of a delivery requires. Repeating it changes nothing. */
export async function applyToQueue(queue: Queue, { from, to, effect }: DeliveryChange): Promise<void> {
  const { id, account } = from;
  switch (effect?.kind) {
    case 'push':
      return queue.push(id, { channel: to.account, afterMs: effect.afterMs, priority: to.priority });
    case 'retry':
      return queue.retry(id, account, effect.afterMs, to.account);
    case 'reschedule':
      return queue.reschedule(id, account, effect.afterMs);
    case 'done':
      return queue.done(id, account);
  }
}

function enqueue(queue: Queue, delivery: Delivery): Promise<void> {
  const { id, account: channel, priority } = delivery;
  return queue.push(id, { channel, afterMs: dueAfterMs(delivery, Date.now()), priority });
}
