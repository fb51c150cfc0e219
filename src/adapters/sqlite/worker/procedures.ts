import type { DatabaseSync } from 'node:sqlite';
import { outboxLimits } from '../../../core/webhooks/outbox-capacity.ts';
import type { ThreadSetup } from '../protocol.ts';
import { createClockRow } from './clock.ts';
import { createDeliveries, type MutableColumns } from './deliveries.ts';
import { createIdempotency } from './idempotency.ts';
import { createListing } from './listing.ts';
import { createOutbox, type NoticeRow } from './outbox.ts';
import { createRetention } from './retention.ts';
import { createSentIndex } from './sent-index.ts';
import { createSharedState } from './shared-state.ts';
import { createSuppressions } from './suppressions.ts';
import type { OnRollback, Transactions } from './transactions.ts';

/** The procedures that the event loop may call. A write runs in a transaction, a read does not. */
export type Procedures = ReturnType<typeof createProcedures>;
export type Reads = Procedures['reads'];
export type Writes = Procedures['writes'];

/** @param now epoch ms by the clock of the file */
export function createProcedures(
  db: DatabaseSync,
  transactions: Transactions,
  options: Omit<ThreadSetup, 'file'>,
  now: () => number,
) {
  const deliveries = createDeliveries(db, options, now);
  const outbox = createOutbox(db, outboxLimits(options), options.retainMs, now);
  const suppressions = createSuppressions(db);
  const sentIndex = createSentIndex(db, now);
  const sharedState = createSharedState(db);
  const writeProbe = db.prepare('INSERT INTO probe VALUES (1, ?) ON CONFLICT DO UPDATE SET at = excluded.at');
  return {
    unsettled: deliveries.unsettled,
    untidy: deliveries.untidy,
    reads: {
      ...deliveries.reads,
      ...createListing(db, deliveries.untidyPlaces, now).reads,
      ...outbox.reads,
      ...suppressions.reads,
      ...sentIndex.reads,
      ...sharedState.reads,
      checkFile: (): void => transactions.check(),
    },
    writes: {
      ...deliveries.writes,
      ...createIdempotency(db, options.retainMs, now).writes,
      ...outbox.writes,
      ...suppressions.writes,
      ...sentIndex.writes,
      ...sharedState.writes,
      ...createRetention(db, now).writes,
      ...createClockRow(db).writes,
      /**
       * Updates a delivery and adds notices. Returns for each whether the outbox had capacity for it;
       * null if the delivery has not changed.
       */
      updateWithNotices(
        onRollback: OnRollback,
        id: string,
        fromRevision: number,
        fromDueAt: number,
        columns: MutableColumns,
        notices: readonly NoticeRow[],
      ): readonly boolean[] | null {
        if (!deliveries.writes.updateDelivery(onRollback, id, fromRevision, fromDueAt, columns)) return null;
        return notices.map((notice) => outbox.writes.putNotice(onRollback, ...notice));
      },
      /** Writes a row, to find out whether the file can be written. */
      writeProbe: (_onRollback: OnRollback, at: number): void => void writeProbe.run(at),
    },
  };
}
