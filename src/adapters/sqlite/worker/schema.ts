import type { DatabaseSync } from 'node:sqlite';
import { SqliteFileError } from '../sqlite-errors.ts';

/** Marks a file as a database of Outtray: "Otry". */
const APPLICATION_ID = 0x4f747279;

/**
 * Migrations from one version of the schema to the next. The version of a file is the number of
 * migrations that it has had. Never change one; only add to the list.
 *
 * - `records`: the delivery as it was inserted, in JSON.
 * - `deliveries`: the small row that each change rewrites. `state`: the fields that replace those of
 *   the record, in JSON; `{}` until the first change. The other columns repeat fields for searches.
 *   `account`: its channel in the queue, which is the account unless Sent Mail is searched for it.
 *   `due_at`: when it is due after a restart, see delivery-rows.ts. `leaves_at`: when a settled
 *   delivery expires, by the clock of the file; null while it is unsettled or not tidied, see
 *   deliveries.ts. `signature`: see core/delivery/signature.ts; null in rows of older versions. A row
 *   is in one of the indexes `deliveries_open` and `deliveries_settled`. No column of the first one
 *   ever changes, so that the start and the end of an attempt write a single page.
 *   `bounced`: 1 if a recipient has bounced, else null; those rows are in `deliveries_bounced` too.
 * - `contents`: separate, because a content is removed long before its record.
 * - `kept_contents`: contents that are kept for RETAIN_CONTENT, and when they are dropped.
 * - `idempotency`: `receipt` is null until the request is accepted, `answer` until a response is
 *   stored,
 *   `leaves_at` while the request is in progress.
 * - `notices`: `leaves_at`: when a failed one expires, by the clock of the file; null while it waits.
 * - `books`: shared values as JSON. `usage`: what is counted beside them, one row for each bucket.
 * - `settled_hours`: how many deliveries of an owner settled in an hour, see delivery-counts.ts. What is not tidied
 *   yet is counted at startup.
 * - `sent_index`: see core/ports/sent-index.ts. `leaves_at`: by the clock of the file.
 * - `suppressions`: `key` is the mailbox key in UTF-16BE, whose bytes sort in code unit order.
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
  `
  CREATE TABLE records (
    place INTEGER PRIMARY KEY REFERENCES deliveries ON DELETE CASCADE,
    record TEXT NOT NULL
  ) STRICT;
  INSERT INTO records SELECT place, record FROM deliveries;
  ALTER TABLE deliveries DROP COLUMN record;
  ALTER TABLE deliveries ADD COLUMN state TEXT NOT NULL DEFAULT '{}';
  DROP INDEX deliveries_unsettled;
  CREATE INDEX deliveries_unsettled ON deliveries (created_at, place) WHERE leaves_at IS NULL;
  `,
  `
  CREATE TABLE settled_hours (
    owner TEXT NOT NULL,
    hour INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    PRIMARY KEY (owner, hour)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO settled_hours
    SELECT owner, finished_at / 3600000 * 3600000 AS hour, sum(is_sent), sum(1 - is_sent)
    FROM (
      SELECT owner, status IN ('sent', 'partially_sent') AS is_sent, coalesce(
        state ->> '$.finishedAt',
        (SELECT record ->> '$.finishedAt' FROM records WHERE records.place = deliveries.place)
      ) AS finished_at
      FROM deliveries
      WHERE leaves_at IS NOT NULL AND status IN ('sent', 'partially_sent', 'failed', 'uncertain', 'expired')
    )
    WHERE finished_at > 1000 * (unixepoch() - 86400)
    GROUP BY owner, hour;
  `,
  `
  CREATE TABLE kept_contents (
    place INTEGER PRIMARY KEY REFERENCES contents ON DELETE CASCADE,
    leaves_at INTEGER NOT NULL,
    bytes INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX kept_contents_leaving ON kept_contents (leaves_at);
  `,
  `
  ALTER TABLE deliveries ADD COLUMN signature INTEGER;
  DROP INDEX deliveries_by_creation;
  CREATE INDEX deliveries_by_creation ON deliveries (created_at, id, signature);
  `,
  `
  ALTER TABLE notices ADD COLUMN leaves_at INTEGER;
  CREATE INDEX notices_failed ON notices (leaves_at) WHERE leaves_at IS NOT NULL;
  `,
  `
  DROP INDEX deliveries_by_creation;
  DROP INDEX deliveries_unsettled;
  CREATE INDEX deliveries_open ON deliveries (created_at, id, signature) WHERE leaves_at IS NULL;
  CREATE INDEX deliveries_settled ON deliveries (status, created_at, id, signature)
    WHERE leaves_at IS NOT NULL;
  `,
  `
  ALTER TABLE deliveries ADD COLUMN bounced INTEGER;
  CREATE INDEX deliveries_bounced ON deliveries (created_at, id, signature) WHERE bounced = 1;
  CREATE TABLE sent_index (
    id TEXT PRIMARY KEY,
    mail TEXT NOT NULL,
    leaves_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX sent_index_leaving ON sent_index (leaves_at);
  `,
];

/**
 * Migrates the file to the newest version, in one transaction.
 *
 * @throws {SqliteFileError} the file has a version that is too new, or belongs to another program
 */
export function migrate(db: DatabaseSync, file: string, steps = MIGRATIONS): void {
  const version = readVersion(db, file, steps);
  if (version === steps.length) return;
  db.exec('BEGIN IMMEDIATE');
  for (const step of steps.slice(version)) db.exec(step);
  db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${steps.length}; COMMIT`);
}

/**
 * Returns the schema version of the file, 0 for an empty one.
 *
 * @throws {SqliteFileError} the file has a version that is too new, or belongs to another program
 */
export function readVersion(db: DatabaseSync, file: string, steps = MIGRATIONS): number {
  const version = readPragma(db, 'user_version');
  if (readPragma(db, 'application_id') !== APPLICATION_ID && !isEmpty(db)) {
    throw new SqliteFileError(
      `${file} is a database of another program. Name another file in QUEUE_URL; it is created if it does not exist.`,
    );
  }
  if (version > steps.length) {
    const versions = `its schema has version ${version}, this Outtray supports ${steps.length}`;
    throw new SqliteFileError(
      `${file} was written by a newer Outtray (${versions}). Start that version, or name another file in QUEUE_URL.`,
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
