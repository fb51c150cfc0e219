import type { DatabaseSync } from 'node:sqlite';
import type { OpenFile } from './file-watch.ts';
import { FileLostError, isSqliteFailure, reasonOf, toUnavailable } from './sqlite-errors.ts';

/** How soon to try again by itself after a failure. */
const PROBE_AFTER_MS = 1000;
/** Interval of checks that the file is in its place while nothing is written, in ms. */
const CHECK_EVERY_MS = 1000;

/** Says how to take something back that is in memory, should the transaction fail. */
export type OnRollback = (undo: () => void) => void;

/**
 * Group commit: all that is written in one turn of the event loop is one transaction, and shares one sync.
 *
 * - A promise to write resolves once its transaction is synced. If that fails, every write of it is rejected with AppError `queue_unavailable`, and
 *   nothing of it is kept.
 * - A promise to read resolves once all that it may have seen is synced; if that fails, what is left is read again.
 */
export interface GroupCommit {
  /** Runs `work` at once. It may throw what is the caller’s affair (AppError, say) as long as it has written nothing: that spoils no other write. */
  write<Result>(work: (onRollback: OnRollback) => Result): Promise<Result>;
  /** Runs `work` at once, and again if it saw what was taken back. */
  read<Result>(work: () => Result): Promise<Result>;
  /** Called before every commit, to write what was left for it. */
  beforeCommit(write: (onRollback: OnRollback) => void): void;
  /** Whether the last transaction or check failed. Until one works again, one is tried every second. */
  isFailing(): boolean;
  /** Checks that the file is in its place. Returns what is wrong with it, fit for any client, or null. */
  checkFile(): string | null;
  /** Epoch ms by the clock of the file: see clock.ts. */
  now(): number;
  /** Commits what is open. */
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
  /** Told when nothing can be written any more, and with null when it can again. */
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

  function joinTransaction(): Transaction {
    if (transaction) return transaction;
    openFile.check();
    openFile.ensureLog();
    begin.run();
    transaction = { synced: Promise.withResolvers(), undo: [] };
    // Those who wait hear of a failure each by its own promise; if nobody does, it is no unhandled rejection.
    transaction.synced.promise.catch(() => {});
    setImmediate(finish);
    return transaction;
  }

  function finish() {
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

  /** Takes back the whole turn: what remains of it is not known. */
  function fail(error: unknown) {
    const former = failure;
    failure = error;
    if (former === null) onAvailabilityChange(reasonOf(error));
    scheduleProbe();
    const failed = transaction;
    transaction = null;
    // SQLite has taken it back by itself after some errors.
    if (db.isOpen && db.isTransaction) rollback.run();
    // Once: another process may have the log by the next time.
    if (error instanceof FileLostError && !(former instanceof FileLostError)) foldLog();
    for (const undo of failed?.undo.reverse() ?? []) undo();
    failed?.synced.reject(toUnavailable(error));
  }

  /** As well as it can be done: a log that cannot be folded now stays as it is. */
  function foldLog() {
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
      finish();
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
