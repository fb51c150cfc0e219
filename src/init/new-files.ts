import { randomBytes } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { reasonOf } from '../config/environment.ts';
import { InvalidValue } from '../config/value-parsers.ts';

export interface NewFile {
  readonly path: string;
  readonly text: string;
  readonly mode: number;
}

/** A new folder for secrets is open to its owner only. */
const FOLDER_MODE = 0o700;

/**
 * Checks that the files can be created: none of them exists, and their folder is writable. An
 * existing folder of secrets must be closed to other users.
 *
 * @throws {InvalidValue} naming the file or folder, with the fix
 */
export function checkNewFiles(paths: readonly string[]): void {
  const folders = new Set(paths.map((path) => dirname(path)));
  for (const folder of folders) checkFolder(folder);
  const existing = paths.filter(exists);
  if (existing.length > 0)
    throw new InvalidValue(
      `${existing.map((path) => resolve(path)).join(' and ')} already ${existing.length > 1 ? 'exist' : 'exists'}, and nothing is overwritten. Remove or rename ${existing.length > 1 ? 'them' : 'it'}, or run this in another directory.`,
    );
}

function checkFolder(folder: string): void {
  if (folder !== '.' && !exists(folder)) return;
  const stats = statSync(folder, { throwIfNoEntry: false });
  if (!stats?.isDirectory())
    throw new InvalidValue(`${resolve(folder)} is not a directory. Remove or rename it.`);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new InvalidValue(
      `${resolve(folder)} cannot be written: ${reasonOf(error)}. Run this in a directory that you own.`,
    );
  }
  if (folder !== '.' && (stats.mode & 0o077) !== 0)
    throw new InvalidValue(
      `Other users of this machine can read ${resolve(folder)}. Close it first: chmod 700 ${folder}`,
    );
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/**
 * Creates all files or none. Each appears complete, in one step, and replaces no other. Runs
 * synchronously, so that Ctrl-C cannot interrupt it.
 *
 * @throws {InvalidValue} naming the file that cannot be written
 */
export function writeNewFiles(files: readonly NewFile[]): void {
  using created = new DisposableStack();
  for (const { path, text, mode } of files) {
    const folder = dirname(path);
    try {
      if (!exists(folder)) {
        mkdirSync(folder, { mode: FOLDER_MODE });
        created.defer(() => rmdirSync(folder));
      }
      createFile(path, text, mode);
      created.defer(() => rmSync(path));
    } catch (error) {
      throw new InvalidValue(`${resolve(path)} cannot be written: ${reasonOf(error)}.`);
    }
  }
  created.move();
}

function createFile(path: string, text: string, mode: number): void {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const file = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(file, text);
    // Unlike the mode of open(), this one is not reduced by the umask.
    fchmodSync(file, mode);
    fsyncSync(file);
    // Unlike rename(), link() fails if the path exists.
    linkSync(temporary, path);
  } finally {
    closeSync(file);
    rmSync(temporary);
  }
}
