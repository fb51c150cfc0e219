/** The thread that owns the database: opens the file and runs the calls of the event loop. */
import { type MessagePort, workerData } from 'node:worker_threads';
import { fileTime } from '../file-time.ts';
import type { Opened, ThreadSetup } from '../protocol.ts';
import { SqliteFileError, toFileError } from '../sqlite-errors.ts';
import { readClock } from './clock.ts';
import { openDatabase } from './database.ts';
import { serveDatabase } from './serve-database.ts';
import { readMailboxFilter } from './suppressions.ts';

const { port, setup } = workerData as { readonly port: MessagePort; readonly setup: ThreadSetup };

function open(): Opened {
  const { file, ...options } = setup;
  try {
    const { db, openFile } = openDatabase(file);
    try {
      const clock = readClock(db);
      const { state } = serveDatabase(db, openFile, options, fileTime(clock, Date.now()), port);
      return { kind: 'opened', clock, suppressed: readMailboxFilter(db), state: state() };
    } catch (error) {
      db.close();
      throw toFileError(error, file);
    }
  } catch (error) {
    if (error instanceof SqliteFileError) return { kind: 'refused', message: error.message };
    return { kind: 'bug', error };
  }
}

const opened = open();
port.postMessage(opened);
if (opened.kind !== 'opened') port.close();
