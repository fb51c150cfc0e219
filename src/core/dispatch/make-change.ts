import type { Delivery } from '../delivery/delivery.ts';
import { isSameRecord } from '../delivery/delivery-codec.ts';
import type { DeliveryChanges } from '../delivery-changes.ts';
import type { DeliveryChange, DeliveryStore } from '../ports/delivery-store.ts';
import type { Queue } from '../ports/queue.ts';
import { retryUntilAvailable, type Wait } from '../retry-until-available.ts';
import { applyToQueue } from '../store-then-queue.ts';

export interface ChangeDeps {
  readonly queue: Queue;
  readonly store: Pick<DeliveryStore, 'get' | 'update'>;
  readonly changes: DeliveryChanges;
  /** Between two tries to persist a transition. Default: a timer. */
  readonly wait?: Wait | undefined;
}

/** Makes the changes of deliveries whose ids were taken from one channel. */
export interface ChangeMaker {
  /** Stores a change, retrying while the backend is unavailable, and announces it. */
  make(change: DeliveryChange): Promise<void>;
  /**
   * Announces a change that was stored, or requeues the id of a delivery that has changed.
   *
   * @param isStored false if the delivery did not have the expected revision
   */
  finish(change: DeliveryChange, isStored: boolean): Promise<void>;
  /**
   * Requeues a delivery that changed after it was read: it was canceled or rescheduled, for example.
   */
  requeueNow(id: string): Promise<void>;
  /**
   * Whether exactly this delivery is stored. A write can succeed although its reply was lost: then
   * the next try finds its own record.
   */
  isStoredAs(delivery: Delivery): Promise<boolean>;
}

export function createChangeMaker(channel: string, deps: ChangeDeps): ChangeMaker {
  const { queue, store, changes, wait } = deps;
  const requeueNow = (id: string) => queue.retry(id, channel, 0);

  async function isStoredAs(delivery: Delivery): Promise<boolean> {
    const stored = await retryUntilAvailable(() => store.get(delivery.id), wait);
    return stored !== null && isSameRecord(stored, delivery);
  }

  async function finish(change: DeliveryChange, isStored: boolean): Promise<void> {
    if (!isStored) {
      if (!(await isStoredAs(change.to))) return requeueNow(change.to.id);
      await applyToQueue(queue, change);
    }
    changes.announce(change);
  }

  return {
    async make(change) {
      const { from, to, effect, notices } = change;
      const isStored = await retryUntilAvailable(() => store.update(from, to, effect, notices), wait);
      await finish(change, isStored);
    },
    finish,
    requeueNow,
    isStoredAs,
  };
}
