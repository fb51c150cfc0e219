import type { DatabaseSync } from 'node:sqlite';
import type { MessagePort } from 'node:worker_threads';
import type { Batch, Call, Close, Copy, DatabaseState, Reply, Result, ThreadSetup } from '../protocol.ts';
import { reasonOf, toResult } from '../sqlite-errors.ts';
import { copyDatabase } from './backup.ts';
import type { OpenFile } from './file-watch.ts';
import { createProcedures, type Reads, type Writes } from './procedures.ts';
import { createTransactions, type OnRollback } from './transactions.ts';

/** A database that runs the calls from a port. */
export interface DatabaseServer {
  state(): DatabaseState;
}

/**
 * Runs the calls from the port, see protocol.ts. Closes the database and the port when asked to.
 *
 * @param openedAt epoch ms by the clock of the file
 */
export function serveDatabase(
  db: DatabaseSync,
  openFile: OpenFile,
  options: Omit<ThreadSetup, 'file'>,
  openedAt: number,
  port: MessagePort,
): DatabaseServer {
  let now = openedAt;
  /** Copies are made one after the other. */
  let copying: Promise<void> = Promise.resolve();
  const transactions = createTransactions(db, openFile);
  const procedures = createProcedures(db, transactions, options, () => now);
  const reads: Call<keyof Reads>[] = [];
  const writes: Call<keyof Writes>[] = [];

  const state = () => ({
    unsettled: procedures.unsettled(),
    untidy: procedures.untidy(),
    syncMs: transactions.syncMs(),
    failure: transactions.failure(),
  });

  function reply(results: Pick<Reply, 'reads' | 'writes'>) {
    port.postMessage({ ...results, state: state() } satisfies Reply, transfersOf(results));
  }

  function runRead([name, args]: Call<keyof Reads>): Result {
    try {
      return { value: (procedures.reads[name] as (...args: unknown[]) => unknown)(...args) };
    } catch (error) {
      return toResult(error);
    }
  }

  function toWrite([name, args]: Call<keyof Writes>) {
    const procedure = procedures.writes[name] as (onRollback: OnRollback, ...args: unknown[]) => unknown;
    return (onRollback: OnRollback) => procedure(onRollback, ...args);
  }

  function runAll() {
    if (reads.length > 0) reply({ reads: reads.splice(0).map(runRead), writes: [] });
    if (writes.length > 0) reply({ reads: [], writes: transactions.run(writes.splice(0).map(toWrite)) });
  }

  async function copy({ to, done }: Copy): Promise<void> {
    try {
      await copyDatabase(db, to);
      done.postMessage(null);
    } catch (error) {
      done.postMessage(reasonOf(error));
    }
    done.close();
  }

  async function close(): Promise<void> {
    runAll();
    if (procedures.untidy() > 0) transactions.run([procedures.writes.tidySettled]);
    await copying;
    db.close();
    port.close();
  }

  port.on('message', (message: Batch | Copy | Close) => {
    if (message.kind === 'close') return close();
    if (message.kind === 'copy') {
      copying = copying.then(() => copy(message));
      return;
    }
    now = message.now;
    // Batches that have arrived together run together.
    if (reads.length + writes.length === 0) setImmediate(runAll);
    reads.push(...message.reads);
    writes.push(...message.writes);
  });
  return { state };
}

/** The byte arrays of the results. SQLite returns each in its own memory, so it can be moved. */
function transfersOf({ reads, writes }: Pick<Reply, 'reads' | 'writes'>): ArrayBuffer[] {
  return [...reads, ...writes].flatMap((result) =>
    'value' in result && Array.isArray(result.value)
      ? result.value.filter((item) => item instanceof Uint8Array).map(({ buffer }) => buffer as ArrayBuffer)
      : [],
  );
}
