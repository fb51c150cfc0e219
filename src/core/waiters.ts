import { type Delivery, isSettled } from './delivery/delivery.ts';
import type { Events } from './events.ts';
import type { DeliveryStore } from './ports/delivery-store.ts';

/** Lets a request wait until its message is settled. */
export interface Waiters {
  /**
   * Resolves with the delivery once it is settled. Resolves with null when `ms` passed, `signal`
   * was aborted, the account is paused, or the service is shutting down. Never rejects.
   *
   * @param options `throughPauses`: keep waiting while the account is paused.
   */
  wait(
    id: string,
    ms: number,
    signal: AbortSignal,
    options?: { readonly throughPauses: boolean },
  ): Promise<Delivery | null>;
  /** Ends every wait with null, including later ones. */
  release(): void;
}

interface Waiter {
  readonly throughPauses: boolean;
  end(delivery: Delivery | null): void;
}

export function createWaiters({
  store,
  events,
}: {
  store: Pick<DeliveryStore, 'get' | 'onRemoteChange'>;
  events: Events;
}): Waiters {
  const waiting = new Map<string, Set<Waiter>>();
  let released = false;

  function notify(delivery: Delivery) {
    const isFinal = isSettled(delivery.status);
    const isPaused = delivery.status === 'deferred' && delivery.error?.scope === 'account';
    for (const waiter of waiting.get(delivery.id) ?? []) {
      if (isFinal) waiter.end(delivery);
      else if (isPaused && !waiter.throughPauses) waiter.end(null);
    }
  }
  events.on('message.settled', notify);
  events.on('message.deferred', notify);
  store.onRemoteChange((id) => {
    if (waiting.has(id)) check(id, () => {});
  });

  /** @param onMissing Called if the delivery does not exist or cannot be read. */
  function check(id: string, onMissing: () => void) {
    store.get(id).then((delivery) => (delivery ? notify(delivery) : onMissing()), onMissing);
  }

  return {
    wait(id, ms, signal, { throughPauses } = { throughPauses: false }) {
      return new Promise((resolve) => {
        const waiter: Waiter = {
          throughPauses,
          end(delivery) {
            clearTimeout(timer);
            signal.removeEventListener('abort', leave);
            const waiters = waiting.get(id);
            waiters?.delete(waiter);
            if (waiters?.size === 0) waiting.delete(id);
            resolve(delivery);
          },
        };
        const leave = () => waiter.end(null);
        const timer = setTimeout(leave, ms);
        if (released || signal.aborted) return leave();
        signal.addEventListener('abort', leave);
        waiting.set(id, (waiting.get(id) ?? new Set()).add(waiter));
        // It may have settled since it was accepted.
        check(id, leave);
      });
    },
    release() {
      released = true;
      for (const waiters of waiting.values()) for (const waiter of waiters) waiter.end(null);
    },
  };
}
