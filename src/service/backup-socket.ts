import { once } from 'node:events';
import { createReadStream, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Logger } from 'pino';

/**
 * Returns the path of the UNIX socket at which the service with this queue file makes backups. It
 * lies beside the file: a user who can connect to it can also read the file.
 */
export function backupSocketOf(file: string): string {
  return `${resolve(file)}.sock`;
}

export interface BackupSocket {
  /** Ends the backup under way, and removes the socket. */
  close(): Promise<void>;
}

export interface BackupSocketOptions {
  /** The queue file. */
  readonly file: string;
  /** Copies the queue to a file, which is replaced if it exists. */
  readonly copyTo: (file: string) => Promise<void>;
  readonly logger: Logger;
}

/**
 * Serves copies of the queue to `outtray backup`, by HTTP over a UNIX socket that only this user can
 * connect to. Returns null if there can be no socket: the service works without.
 */
export async function openBackupSocket({
  file,
  copyTo,
  logger,
}: BackupSocketOptions): Promise<BackupSocket | null> {
  const path = backupSocketOf(file);
  const copy = `${resolve(file)}.backup.tmp`;
  /** One after the other: all use the same file. */
  let last: Promise<void> = Promise.resolve();
  const server = createServer((_request, response) => {
    last = last.then(() => sendCopy(response)).catch(logFailure);
  });

  function logFailure(error: unknown): void {
    logger.error({ reason: reasonOf(error) }, 'queue could not be backed up');
  }

  async function sendCopy(response: ServerResponse): Promise<void> {
    try {
      await copyTo(copy);
      const size = statSync(copy).size;
      response.setHeader('content-length', size);
      await pipeline(createReadStream(copy), response);
      logger.info({ bytes: size }, 'queue backed up');
    } catch (error) {
      logFailure(error);
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end(reasonOf(error));
    } finally {
      await rm(copy, { force: true });
    }
  }

  try {
    // Left by a process that was killed: the lock of the file shows that no other one runs.
    await rm(path, { force: true });
    await listenPrivately(server, path);
  } catch (error) {
    const isTooLong = (error as NodeJS.ErrnoException).code === 'EINVAL';
    const reason = isTooLong ? `${path} is too long for a socket` : reasonOf(error);
    logger.warn({ reason }, 'outtray backup is not available');
    return null;
  }
  server.unref();
  return {
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
      await last;
    },
  };
}

/** Listens on a socket that only this user can connect to. */
async function listenPrivately(server: Server, path: string): Promise<void> {
  const mask = process.umask(0o177);
  try {
    server.listen(path);
  } finally {
    process.umask(mask);
  }
  await once(server, 'listening');
}

/** Returns the message of an error, for the user of `outtray backup`. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
