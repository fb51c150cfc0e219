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
 * Puts all that is not settled into the queue, in order of creation. It reads no record, and holds no more than one row.
 *
 * @param fileNow epoch ms by the clock of the file
 */
export async function refillQueue(db: DatabaseSync, queue: Queue, fileNow: number): Promise<void> {
  const waiting = db.prepare(
    'SELECT id, account, priority, due_at FROM deliveries WHERE leaves_at IS NULL ORDER BY created_at, place',
  );
  // Each row brings strings of its own; of these there are few.
  const channels = new Map<string, string>();
  for (const row of waiting.iterate()) {
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
