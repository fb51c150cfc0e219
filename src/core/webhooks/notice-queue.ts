import type { Notice, Outbox } from '../ports/outbox.ts';
import type { Queue } from '../ports/queue.ts';

/** Returns the channel of the queue for the notices of an endpoint. */
export function channelOf(url: string): string {
  return `webhook:${url}`;
}

/** Queues a stored notice. Does nothing if its id is in the queue already. */
export function pushNotice(
  queue: Pick<Queue, 'push'>,
  { id, url }: Pick<Notice, 'id' | 'url'>,
  afterMs: number,
): Promise<void> {
  return queue.push(id, { channel: channelOf(url), afterMs: Math.max(0, afterMs), priority: 'normal' });
}

/** An Outbox that does not know the queue. */
export type NoticeRecords = Omit<Outbox, 'onDropped'>;

/** An Outbox that changes before the queue. */
export interface QueuedOutbox extends Outbox {
  /** Adds a notice and enqueues its id, or drops it if there is no capacity. */
  add(notice: Notice): Promise<void>;
  /** Reports a notice of a stored change that there was no capacity for. */
  drop(notice: Notice): void;
}

/**
 * Makes an Outbox of records and a queue that cannot change in one step. The backend must enqueue
 * all notices when it starts.
 *
 * @param now epoch ms by the clock of the shared state
 */
export function putThenQueue(
  records: NoticeRecords,
  queue: Pick<Queue, 'push'>,
  now: () => number,
): QueuedOutbox {
  const listeners: ((notice: Notice) => void)[] = [];

  async function pushIf(isStored: boolean, notice: Notice): Promise<boolean> {
    if (isStored) await pushNotice(queue, notice, notice.dueAt - now());
    return isStored;
  }

  async function put(notice: Notice): Promise<boolean> {
    return pushIf(await records.put(notice), notice);
  }

  function drop(notice: Notice) {
    for (const listener of listeners) listener(notice);
  }

  return {
    ...records,
    put,
    async add(notice) {
      if (!(await put(notice))) drop(notice);
    },
    drop,
    onDropped: (listener) => void listeners.push(listener),
    replay: async (notice) => pushIf(await records.replay(notice), notice),
  };
}
