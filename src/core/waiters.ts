import { type Delivery, isSettled } from './delivery/delivery.ts';
import type { Events } from './events.ts';
import type { DeliveryStore } from './ports/delivery-store.ts';

/** Lets a request wait for what becomes of its message. */
export interface Waiters {
  /**
   * Resolves with the delivery once it is settled, or with null when there is no use in waiting longer: `ms` passed, `signal` was aborted,
   * the sender is paused, or the service is shutting down. Never rejects.
   *
   * @param options `throughPauses`: waits on while the sender is paused
   */
  wait(
    id: string,
    ms: number,
    signal: AbortSignal,
    options?: { readonly throughPauses: boolean },
  ): Promise<Delivery | null>;
  /** Lets everyone go, now and from now on. */
  release(): void;
}

interface Waiter {
  readonly throughPauses: boolean;
  release(delivery: Delivery | null): void;
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

  function tell(delivery: Delivery) {
    const isOver = isSettled(delivery.status);
    const isPaused = delivery.status === 'deferred' && delivery.error?.scope === 'account';
    for (const waiter of waiting.get(delivery.id) ?? []) {
      if (isOver) waiter.release(delivery);
      else if (isPaused && !waiter.throughPauses) waiter.release(null);
    }
  }
  events.on('message.settled', tell);
  events.on('message.deferred', tell);
  store.onRemoteChange((id) => {
    if (waiting.has(id)) look(id, () => {});
  });

  /** @param orElse called if there is nothing to be seen of it */
  function look(id: string, orElse: () => void) {
    store.get(id).then((delivery) => (delivery ? tell(delivery) : orElse()), orElse);
  }

  return {
    wait(id, ms, signal, { throughPauses } = { throughPauses: false }) {
      return new Promise((resolve) => {
        const waiter: Waiter = {
          throughPauses,
          release(delivery) {
            clearTimeout(timer);
            signal.removeEventListener('abort', leave);
            const others = waiting.get(id);
            others?.delete(waiter);
            if (others?.size === 0) waiting.delete(id);
            resolve(delivery);
          },
        };
        const leave = () => waiter.release(null);
        const timer = setTimeout(leave, ms);
        if (released || signal.aborted) return leave();
        signal.addEventListener('abort', leave);
        waiting.set(id, (waiting.get(id) ?? new Set()).add(waiter));
        // It may have settled between its acceptance and now.
        look(id, leave);
      });
    },
    release() {
      released = true;
      for (const waiters of waiting.values()) for (const waiter of waiters) waiter.release(null);
    },
  };
}
