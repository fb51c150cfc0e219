import type { Queue } from '../../core/ports/queue.ts';
import type { Database } from './database.ts';
import { toDelay } from './delivery-rows.ts';
import type { QueuedRow } from './worker/listing.ts';

/** Pushes all unsettled deliveries to the queue, in order of creation. Reads no records. */
export async function refillQueue(database: Database, queue: Queue): Promise<void> {
  // Shares one string for each channel, because every row has a separate copy.
  const channels = new Map<string, string>();
  let last: readonly [createdAt: number, place: number] | null = [Number.NEGATIVE_INFINITY, 0];
  while (last) {
    const rows: readonly QueuedRow[] = await database.read(null, 'queuedPage', ...last);
    for (const [, , id, name, priority, dueAt] of rows) {
      const channel = channels.get(name) ?? name;
      channels.set(channel, channel);
      await queue.push(id, {
        channel,
        priority: priority === 'high' ? 'high' : 'normal',
        afterMs: toDelay(dueAt, database.now()),
      });
    }
    const end = rows.at(-1);
    last = end ? [end[0], end[1]] : null;
  }
}
