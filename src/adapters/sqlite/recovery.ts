import type { DatabaseSync } from 'node:sqlite';
import type { Queue } from '../../core/ports/queue.ts';
import { toDelay } from './delivery-rows.ts';

interface UnsettledRow {
  readonly id: string;
  readonly account: string;
  readonly priority: string;
  readonly due_at: number | null;
}

/**
 * Pushes all unsettled deliveries to the queue, in order of creation. Reads no records, and only
 * one row at a time.
 *
 * @param fileNow epoch ms by the clock of the file
 */
export async function refillQueue(db: DatabaseSync, queue: Queue, fileNow: number): Promise<void> {
  const unsettled = db.prepare(
    'SELECT id, account, priority, due_at FROM deliveries WHERE leaves_at IS NULL ORDER BY created_at, place',
  );
  // Shares one string for each channel, because every row has a separate copy.
  const channels = new Map<string, string>();
  for (const row of unsettled.iterate()) {
    const { id, account, priority, due_at } = row as unknown as UnsettledRow;
    const channel = channels.get(account) ?? account;
    channels.set(channel, channel);
    await queue.push(id, {
      channel,
      priority: priority === 'high' ? 'high' : 'normal',
      afterMs: toDelay(due_at, fileNow),
    });
  }
}
