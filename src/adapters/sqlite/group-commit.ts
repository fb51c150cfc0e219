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

interface Turn {
  readonly synced: PromiseWithResolvers<void>;
  readonly undo: (() => void)[];
}

export interface GroupCommitOptions {
  readonly openFile: OpenFile;
  /** Epoch ms by the clock of the file. */
  readonly now: () => number;
  /** Told when nothing can be written any more, and with null when it can again. */
  readonly onTrouble: (reason: string | null) => void;
}

export function createGroupCommit(
  db: DatabaseSync,
  { openFile, now, onTrouble }: GroupCommitOptions,
): GroupCommit {
  const begin = db.prepare('BEGIN IMMEDIATE');
  const commit = db.prepare('COMMIT');
  const rollback = db.prepare('ROLLBACK');
  const touch = db.prepare('INSERT INTO probe VALUES (1, ?) ON CONFLICT DO UPDATE SET at = excluded.at');
  const leftovers: ((onRollback: OnRollback) => void)[] = [];
  let turn: Turn | null = null;
  let failure: unknown = null;
  let closed = false;
  let probe: NodeJS.Timeout | undefined;

  function join(): Turn {
    if (turn) return turn;
    openFile.check();
    openFile.keepLog();
    begin.run();
    turn = { synced: Promise.withResolvers(), undo: [] };
    // Those who wait hear of a failure each by its own promise; if nobody does, it is no unhandled rejection.
    turn.synced.promise.catch(() => {});
    setImmediate(finish);
    return turn;
  }

  function finish() {
    if (!turn) return;
    try {
      for (const write of leftovers) write((undo) => turn?.undo.push(undo));
      openFile.check();
      commit.run();
    } catch (error) {
      fail(error);
      return;
    }
    if (failure !== null) onTrouble(null);
    failure = null;
    turn.synced.resolve();
    turn = null;
  }

  /** Takes back the whole turn: what remains of it is not known. */
  function fail(error: unknown) {
    const former = failure;
    failure = error;
    if (former === null) onTrouble(reasonOf(error));
    arm();
    const failed = turn;
    turn = null;
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
      openFile.foldLog();
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

  function arm() {
    if (closed) return;
    clearTimeout(probe);
    probe = setTimeout(() => write(() => touch.run(Date.now())).catch(() => {}), PROBE_AFTER_MS).unref();
  }

  async function write<Result>(work: (onRollback: OnRollback) => Result): Promise<Result> {
    try {
      const { undo, synced } = join();
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
        const seen = turn;
        const result = look(work);
        const isSynced = await seen?.synced.promise.then(
          () => true,
          () => false,
        );
        if (isSynced !== false) return result;
      }
    },
    beforeCommit(write) {
      leftovers.push(write);
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

function look<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw toUnavailable(error);
  }
}
