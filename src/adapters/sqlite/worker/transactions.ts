import type { DatabaseSync } from 'node:sqlite';
import type { DatabaseFailure, Result } from '../protocol.ts';
import { FileLostError, isSqliteFailure, reasonOf, toResult } from '../sqlite-errors.ts';
import type { OpenFile } from './file-watch.ts';

/** Registers a function that reverts a change in memory if the transaction fails. */
export type OnRollback = (undo: () => void) => void;

/**
 * One write of a transaction. It may throw an error of the caller, such as an AppError, if it has
 * written nothing. Other writes of the transaction are not affected.
 */
export type Write = (onRollback: OnRollback) => unknown;

/** Runs transactions, and knows whether the file can be written. */
export interface Transactions {
  /** Runs the writes in one transaction. Returns their results, once it is synced or has failed. */
  run(writes: readonly Write[]): Result[];
  /** Checks that the file is at its path. */
  check(): void;
  /** Why the last transaction or check failed, or null. */
  failure(): DatabaseFailure | null;
  /** Shortest duration of a sync lately, in ms: what the disk takes, without a busy machine. */
  syncMs(): number;
}

/** Growth of {@link Transactions.syncMs} with each longer sync, so that it follows the disk. */
const SYNC_GROWTH = 1.02;

export function createTransactions(db: DatabaseSync, openFile: OpenFile): Transactions {
  const begin = db.prepare('BEGIN IMMEDIATE');
  const commit = db.prepare('COMMIT');
  const rollback = db.prepare('ROLLBACK');
  let failure: unknown = null;
  let syncMs = Number.MAX_VALUE;

  /** Rolls the whole transaction back: after an error, the state of its other writes is unknown. */
  function fail(error: unknown, undo: readonly (() => void)[]) {
    const previous = failure;
    failure = error;
    // After some errors, SQLite has rolled back already.
    if (db.isOpen && db.isTransaction) rollback.run();
    // Only once: later, another process may use the log.
    if (error instanceof FileLostError && !(previous instanceof FileLostError)) checkpointLog();
    for (const step of undo.toReversed()) step();
  }

  /** Leaves the log as it is if it cannot be written to the file now. */
  function checkpointLog() {
    try {
      openFile.checkpointLog();
    } catch {}
  }

  return {
    run(writes) {
      const undo: (() => void)[] = [];
      try {
        openFile.check();
        openFile.ensureLog();
        begin.run();
        const results = writes.map((write) => runWrite(write, (step) => undo.push(step)));
        openFile.check();
        const syncAt = performance.now();
        commit.run();
        syncMs = Math.min(performance.now() - syncAt, syncMs * SYNC_GROWTH);
        failure = null;
        return results;
      } catch (error) {
        fail(error, undo);
        const failed = toResult(error);
        return writes.map(() => failed);
      }
    },
    check() {
      if (failure !== null) return;
      try {
        openFile.check();
      } catch (error) {
        fail(error, []);
      }
    },
    syncMs: () => syncMs,
    failure() {
      if (failure === null) return null;
      const problem = failure instanceof FileLostError ? failure.message : null;
      return { reason: reasonOf(failure), problem };
    },
  };
}

/** @throws an error of SQLite, after which the transaction cannot go on */
function runWrite(write: Write, onRollback: OnRollback): Result {
  try {
    return { value: write(onRollback) };
  } catch (error) {
    if (isSqliteFailure(error)) throw error;
    return toResult(error);
  }
}
