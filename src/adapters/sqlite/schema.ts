import type { DatabaseSync } from 'node:sqlite';
import { SqliteFileError } from './sqlite-errors.ts';

/** Marks a file as Outtray’s: “Otry”. */
const APPLICATION_ID = 0x4f747279;

/**
 * What brings a file from one version of the schema to the next: the version of a file is how many of these it has seen. Only ever added to.
 *
 * - `deliveries`: `record` is the truth, the columns repeat what is searched for. `due_at`: when the queue is to give it, if not at once; negative by the clock of the file.
 *   `leaves_at`: when a settled one goes, by the clock of the file; null while it is unsettled. `record` comes last, so that a search reads no more than it must.
 *   `deliveries_unsettled` has all that a start needs: of a long queue not one page of the table is read for it.
 * - `contents`: apart from the records, so that a change of status does not write the body again.
 * - `idempotency`: `receipt` is null until the request is accepted, `answer` until one is stored, `leaves_at` while the request is in progress.
 * - `books`: shared values as JSON. `usage`: what is counted beside them, one row for each bucket.
 * - `suppressions`: `key` is the mailbox key in UTF-16BE, whose bytes sort as code units do.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE deliveries (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    owner TEXT NOT NULL,
    account TEXT NOT NULL,
    priority TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER,
    bytes INTEGER NOT NULL,
    leaves_at INTEGER,
    record TEXT NOT NULL
  ) STRICT;
  CREATE INDEX deliveries_by_creation ON deliveries (created_at, id);
  CREATE INDEX deliveries_unsettled ON deliveries (created_at, place, id, account, priority, due_at, bytes) WHERE leaves_at IS NULL;
  CREATE INDEX deliveries_leaving ON deliveries (leaves_at) WHERE leaves_at IS NOT NULL;
  CREATE TABLE contents (
    place INTEGER PRIMARY KEY REFERENCES deliveries ON DELETE CASCADE,
    content BLOB NOT NULL
  ) STRICT;
  CREATE TABLE idempotency (
    key TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    seed TEXT NOT NULL,
    answer TEXT,
    leaves_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX idempotency_leaving ON idempotency (leaves_at) WHERE leaves_at IS NOT NULL;
  CREATE TABLE suppressions (key BLOB PRIMARY KEY, suppression TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE notices (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    notice TEXT NOT NULL
  ) STRICT;
  CREATE TABLE books (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE probe (only INTEGER PRIMARY KEY CHECK (only = 1), at INTEGER NOT NULL) STRICT;
  `,
  'ALTER TABLE idempotency ADD COLUMN receipt TEXT',
  `
  CREATE TABLE usage (
    name TEXT NOT NULL,
    leaves_at INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    recipients INTEGER NOT NULL,
    PRIMARY KEY (name, leaves_at)
  ) STRICT, WITHOUT ROWID;
  `,
];

/**
 * Brings the file to the newest version, in one transaction.
 *
 * @throws {SqliteFileError} it is of a newer version than this program knows, or of another program
 */
export function migrate(db: DatabaseSync, file: string, steps = MIGRATIONS): void {
  const version = readVersion(db, file, steps);
  if (version === steps.length) return;
  db.exec('BEGIN IMMEDIATE');
  for (const step of steps.slice(version)) db.exec(step);
  db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${steps.length}; COMMIT`);
}

/**
 * The version of the schema that the file has, from 0 for an empty one.
 *
 * @throws {SqliteFileError} it is of a newer version than this program knows, or of another program
 */
export function readVersion(db: DatabaseSync, file: string, steps = MIGRATIONS): number {
  const version = readPragma(db, 'user_version');
  if (readPragma(db, 'application_id') !== APPLICATION_ID && !isEmpty(db)) {
    throw new SqliteFileError(
      `${file} is a database of another program. Name another file; one that does not exist is made.`,
    );
  }
  if (version > steps.length) {
    const versions = `it has version ${version} of the schema, this one knows ${steps.length}`;
    throw new SqliteFileError(
      `${file} was written by a newer Outtray (${versions}). Start that one, or name another file.`,
    );
  }
  return version;
}

function readPragma(db: DatabaseSync, name: string): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name]);
}

function isEmpty(db: DatabaseSync): boolean {
  return db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined;
}
