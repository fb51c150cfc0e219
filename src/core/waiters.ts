import { type Delivery, isSettled } from './delivery.ts';
import type { Events } from './events.ts';
import type { Store } from './ports.ts';

/** Lets a request wait for what becomes of its message. */
export interface Waiters {
  /**
   * Resolves with the delivery once it is settled, or with null when there is no use in waiting longer: `ms` passed, `signal` was aborted,
   * the sender is paused, or the service is shutting down. Never rejects.
   */
  wait(id: string, ms: number, signal: AbortSignal): Promise<Delivery | null>;
  /** Lets everyone go, now and from now on. */
  release(): void;
}

type Release = (delivery: Delivery | null) => void;

export function createWaiters({ store, events }: { store: Pick<Store, 'get' | 'onChangeElsewhere'>; events: Events }): Waiters {
  const waiting = new Map<string, Set<Release>>();
  let released = false;

  function tell(delivery: Delivery) {
    const answer = answerOf(delivery);
    if (answer === undefined) return;
    for (const release of waiting.get(delivery.id) ?? []) release(answer);
  }
  events.on('message.settled', tell);
  events.on('message.deferred', tell);
  store.onChangeElsewhere((id) => {
    if (waiting.has(id)) look(id, () => {});
  });

  /** @param orElse called if there is nothing to be seen of it */
  function look(id: string, orElse: () => void) {
    store.get(id).then((delivery) => (delivery ? tell(delivery) : orElse()), orElse);
  }

  return {
    wait(id, ms, signal) {
      return new Promise((resolve) => {
        const release: Release = (delivery) => {
          clearTimeout(timer);
          signal.removeEventListener('abort', leave);
          const others = waiting.get(id);
          others?.delete(release);
          if (others?.size === 0) waiting.delete(id);
          resolve(delivery);
        };
        const leave = () => release(null);
        const timer = setTimeout(leave, ms);
        if (released || signal.aborted) return leave();
        signal.addEventListener('abort', leave);
        waiting.set(id, (waiting.get(id) ?? new Set()).add(release));
        // It may have settled between its acceptance and now.
        look(id, leave);
      });
    },
    release() {
      released = true;
      for (const releases of waiting.values()) for (const release of releases) release(null);
    },
  };
}

/** What to tell a waiter of this state: the outcome, null when waiting is of no use, undefined to wait on. */
function answerOf(delivery: Delivery): Delivery | null | undefined {
  if (isSettled(delivery.status)) return delivery;
  const senderPaused = delivery.status === 'deferred' && delivery.error?.scope === 'account';
  return senderPaused ? null : undefined;
}
