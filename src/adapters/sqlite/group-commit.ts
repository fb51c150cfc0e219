import type { DatabaseSync } from 'node:sqlite';
import type { OpenFile } from './file-watch.ts';
import { FileLostError, isSqliteFailure, reasonOf, toUnavailable } from './sqlite-errors.ts';

/** Wait before a write is tried again after a failure, in ms. */
const PROBE_AFTER_MS = 1000;
/** Interval between checks of the file while nothing is written, in ms. */
const CHECK_EVERY_MS = 1000;

/** Registers a function that reverts a change in memory if the transaction fails. */
export type OnRollback = (undo: () => void) => void;

/**
 * Group commit: all writes of one turn of the event loop are one transaction and share one sync.
 *
 * - The promise of a write resolves once its transaction is synced. If that fails, all its writes
 *   are rejected with AppError `queue_unavailable`, and none is stored.
 * - The promise of a read resolves once everything it may have seen is synced. If that fails, it
 *   reads again.
 */
export interface GroupCommit {
  /**
   * Runs `work` at once. It may throw an error of the caller, such as an AppError, if it has
   * written nothing. Other writes of the transaction are not affected.
   */
  write<Result>(work: (onRollback: OnRollback) => Result): Promise<Result>;
  /** Runs `work` at once, and again if what it saw was rolled back. */
  read<Result>(work: () => Result): Promise<Result>;
  /** Registers a function that writes deferred changes before every commit. */
  beforeCommit(write: (onRollback: OnRollback) => void): void;
  /**
   * Whether the last transaction or check failed. Then a write is tried every second until it
   * succeeds.
   */
  isFailing(): boolean;
  /** Checks that the file is at its path. Returns the problem, fit for any client, or null. */
  checkFile(): string | null;
  /** Epoch ms by the clock of the file, see clock.ts. */
  now(): number;
  /** Commits the open transaction. */
  close(): void;
}

interface Transaction {
  readonly synced: PromiseWithResolvers<void>;
  readonly undo: (() => void)[];
}

export interface GroupCommitOptions {
  readonly openFile: OpenFile;
  /** Epoch ms by the clock of the file. */
  readonly now: () => number;
  /** Called with the reason when writing fails, and with null when it works again. */
  readonly onAvailabilityChange: (reason: string | null) => void;
}

export function createGroupCommit(
  db: DatabaseSync,
  { openFile, now, onAvailabilityChange }: GroupCommitOptions,
): GroupCommit {
  const begin = db.prepare('BEGIN IMMEDIATE');
  const commit = db.prepare('COMMIT');
  const rollback = db.prepare('ROLLBACK');
  const writeProbe = db.prepare('INSERT INTO probe VALUES (1, ?) ON CONFLICT DO UPDATE SET at = excluded.at');
  const commitHooks: ((onRollback: OnRollback) => void)[] = [];
  let transaction: Transaction | null = null;
  let failure: unknown = null;
  let closed = false;
  let probe: NodeJS.Timeout | undefined;

  /** Returns the transaction of this turn; begins it if there is none. */
  function joinTransaction(): Transaction {
    if (transaction) return transaction;
    openFile.check();
    openFile.ensureLog();
    begin.run();
    transaction = { synced: Promise.withResolvers(), undo: [] };
    // Each write reports a failure to its caller. Without this handler, a transaction that no
    // caller waits for would cause an unhandled rejection.
    transaction.synced.promise.catch(() => {});
    setImmediate(commitTransaction);
    return transaction;
  }

  function commitTransaction() {
    if (!transaction) return;
    try {
      for (const write of commitHooks) write((undo) => transaction?.undo.push(undo));
      openFile.check();
      commit.run();
    } catch (error) {
      fail(error);
      return;
    }
    if (failure !== null) onAvailabilityChange(null);
    failure = null;
    transaction.synced.resolve();
    transaction = null;
  }

  /** Rolls the whole transaction back: after an error, the state of its other writes is unknown. */
  function fail(error: unknown) {
    const previous = failure;
    failure = error;
    if (previous === null) onAvailabilityChange(reasonOf(error));
    scheduleProbe();
    const failed = transaction;
    transaction = null;
    // After some errors, SQLite has rolled back already.
    if (db.isOpen && db.isTransaction) rollback.run();
    // Only once: later, another process may use the log.
    if (error instanceof FileLostError && !(previous instanceof FileLostError)) checkpointLog();
    for (const undo of failed?.undo.reverse() ?? []) undo();
    failed?.synced.reject(toUnavailable(error));
  }

  /** Leaves the log as it is if it cannot be written to the file now. */
  function checkpointLog() {
    try {
      openFile.checkpointLog();
    } catch {}
  }

  function check() {
    if (failure !== null) return;
    try {
      openFile.check();
    } catch (error) {
      fail(error);
    }
  }

  function scheduleProbe() {
    if (closed) return;
    clearTimeout(probe);
    probe = setTimeout(() => write(() => writeProbe.run(Date.now())).catch(() => {}), PROBE_AFTER_MS).unref();
  }

  async function write<Result>(work: (onRollback: OnRollback) => Result): Promise<Result> {
    try {
      const { undo, synced } = joinTransaction();
      const result = work((step) => undo.push(step));
      await synced.promise;
      return result;
    } catch (error) {
      if (isSqliteFailure(error)) fail(error);
      throw toUnavailable(error);
    }
  }

  const checking = setInterval(check, CHECK_EVERY_MS).unref();
  return {
    write,
    async read(work) {
      for (;;) {
        const seen = transaction;
        const result = runRead(work);
        const isSynced = await seen?.synced.promise.then(
          () => true,
          () => false,
        );
        if (isSynced !== false) return result;
      }
    },
    beforeCommit(write) {
      commitHooks.push(write);
    },
    isFailing: () => failure !== null,
    checkFile() {
      check();
      return failure instanceof FileLostError ? failure.message : null;
    },
    now,
    close() {
      closed = true;
      clearInterval(checking);
      clearTimeout(probe);
      commitTransaction();
    },
  };
}

function runRead<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw toUnavailable(error);
  }
}
