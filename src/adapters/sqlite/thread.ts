import { once } from 'node:events';
import { extname } from 'node:path';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { Opened, ThreadSetup } from './protocol.ts';
import { SqliteFileError } from './sqlite-errors.ts';

/** The thread ended although nothing had asked it to. Nothing can be stored any more. */
export class DatabaseThreadError extends Error {
  override readonly name = 'DatabaseThreadError';
}

/**
 * Starts the thread that opens the database. An error that it does not catch is thrown here, as one
 * of this thread would be.
 *
 * @throws {SqliteFileError} the file cannot be used
 */
export async function startDatabaseThread(
  setup: ThreadSetup,
): Promise<{ readonly port: MessagePort } & Extract<Opened, { kind: 'opened' }>> {
  const { port1: port, port2 } = new MessageChannel();
  const file = new URL(`./worker/database-thread${extname(import.meta.url)}`, import.meta.url);
  const worker = new Worker(file, { workerData: { port: port2, setup }, transferList: [port2] });
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  const [opened] = (await once(port, 'message')) as [Opened];
  if (opened.kind === 'opened') return { ...opened, port };
  // The next attempt to open the file finds it closed.
  await ended;
  if (opened.kind === 'refused') throw new SqliteFileError(opened.message);
  throw opened.error;
}
