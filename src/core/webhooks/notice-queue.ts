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

/**
 * Makes an Outbox of one that does not know the queue, and cannot change with it in one step. The
 * backend must enqueue all notices when it starts.
 *
 * @param now epoch ms by the clock of the shared state
 */
export function putThenQueue(records: Outbox, queue: Pick<Queue, 'push'>, now: () => number): Outbox {
  async function pushIf(isStored: boolean, notice: Notice): Promise<boolean> {
    if (isStored) await pushNotice(queue, notice, notice.dueAt - now());
    return isStored;
  }

  return {
    ...records,
    put: async (notice) => pushIf(await records.put(notice), notice),
    replay: async (notice) => pushIf(await records.replay(notice), notice),
  };
}
