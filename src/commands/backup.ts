import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { EnvFileError, loadEnvFile } from '../config/env-file.ts';
import { readSetting, reasonOf as systemReasonOf } from '../config/environment.ts';
import { parseQueueUrl } from '../config/queue-url.ts';
import { defaultOf } from '../config/setting-schema.ts';
import { InvalidValue } from '../config/value-parsers.ts';
import { backupSocketOf, reasonOf } from '../service/backup-socket.ts';
import { complain, print } from './output.ts';

const USAGE = `Usage: outtray backup FILE

Writes a copy of the SQLite queue to FILE, which must not exist. The running service with the same QUEUE_URL makes the copy, and
delivery goes on meanwhile. FILE contains messages with their content, and only this user can read it.

Exits with code 0 only if FILE is complete.`;

/** A backup that cannot be made. The message names the fix. */
class BackupFailure extends Error {}

/** Writes a copy of the queue of the running service. Returns the exit code. */
export async function backup(args: string[], { signal }: { signal: AbortSignal }): Promise<number> {
  if (args.includes('--help')) {
    print(USAGE);
    return 0;
  }
  const file = parseFile(args);
  if (file === null) return complain(`Name one file.\n\n${USAGE}`, 2);
  try {
    loadEnvFile(process.env);
    const bytes = await writeCopy(readQueueFile(), resolve(file), signal);
    print(`${file}: ${bytes} bytes written`);
    return 0;
  } catch (error) {
    if (error instanceof EnvFileError) return complain(error.message, 2);
    if (error instanceof InvalidValue) return complain(`QUEUE_URL: ${error.message}`, 2);
    if (error instanceof BackupFailure) return complain(error.message, 1);
    throw error;
  }
}

function parseFile(args: string[]): string | null {
  try {
    const { positionals } = parseArgs({ args, allowPositionals: true });
    return positionals.length === 1 ? (positionals[0] ?? null) : null;
  } catch {
    return null;
  }
}

/**
 * Returns the file that QUEUE_URL names.
 *
 * @throws {BackupFailure} it names none
 */
function readQueueFile(): string {
  const { label, text, problem } = readSetting(process.env, 'QUEUE_URL', 'QUEUE_URL_FILE');
  if (problem !== undefined) throw new BackupFailure(`${label}: ${problem}`);
  const url = parseQueueUrl(text ?? defaultOf('QUEUE_URL'));
  switch (url.kind) {
    case 'memory':
      throw new BackupFailure(
        'The queue is in memory: there is nothing to back up. Set QUEUE_URL as for the service.',
      );
    case 'redis':
      throw new BackupFailure(
        'The queue is in Redis: back up Redis itself, for example by a copy of its AOF or RDB file.',
      );
    case 'sqlite':
      return url.file;
  }
}

/**
 * Writes the copy beside FILE, and names it FILE once it is complete and synced.
 *
 * @returns its size in bytes
 */
async function writeCopy(queueFile: string, file: string, signal: AbortSignal): Promise<number> {
  if (existsSync(file)) throw new BackupFailure(alreadyExists(file));
  const partial = `${file}.${process.pid}.partial`;
  try {
    await using output = await create(partial, file);
    const response = await requestCopy(queueFile, signal);
    if (response.statusCode !== 200)
      throw new BackupFailure(`The service could not make the copy: ${await text(response)}`);
    await receive(response, output, signal);
    await output.sync();
    await publish(partial, file);
    return Number(response.headers['content-length']);
  } finally {
    await rm(partial, { force: true });
  }
}

function alreadyExists(file: string): string {
  return `${file} exists. Name another file: nothing is overwritten.`;
}

/**
 * Creates a file that only this user can read.
 *
 * @param name the file that an error names
 */
async function create(path: string, name = path): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    throw new BackupFailure(`${name} cannot be created: ${systemReasonOf(error)}.`);
  }
}

async function receive(response: IncomingMessage, output: FileHandle, signal: AbortSignal): Promise<void> {
  try {
    // Fails if the connection ends before Content-Length.
    await output.writeFile(response, { signal });
  } catch (error) {
    throw new BackupFailure(`The copy is not complete, and was removed: ${reasonOf(error)}.`);
  }
}

/** Gives the complete file its name, unless there is one with this name by now. */
async function publish(partial: string, file: string): Promise<void> {
  try {
    await link(partial, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw new BackupFailure(alreadyExists(file));
    // Some file systems have no hard links: reserve the name, then replace the reservation.
    const reserved = await create(file);
    await reserved.close();
    await rename(partial, file);
  }
}

/** Requests a copy from the service that has the queue file open. */
async function requestCopy(queueFile: string, signal: AbortSignal): Promise<IncomingMessage> {
  const socketPath = backupSocketOf(queueFile);
  const sent = request({ socketPath, path: '/', signal });
  sent.end();
  try {
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    return response;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM')
      throw new BackupFailure(
        `${socketPath}: permission denied. Run this command as the user of the service.`,
      );
    if (code === 'ENOENT' || code === 'ECONNREFUSED')
      throw new BackupFailure(
        `No service has ${resolve(queueFile)} open. Start it, or check QUEUE_URL. While it is stopped, copy the file and its -wal file instead.`,
      );
    if (code === 'EINVAL')
      throw new BackupFailure(
        `${socketPath} is too long for a socket. Move the queue to a shorter path, and change QUEUE_URL.`,
      );
    throw new BackupFailure(`The service did not respond: ${reasonOf(error)}.`);
  }
}
