import { closeSync, fdatasyncSync, openSync, rmSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { backup, type DatabaseSync } from 'node:sqlite';

/** Space that must stay free beside the copy, so that the service can go on writing, in bytes. */
const SPARE_BYTES = 64 * 1024 * 1024;

/** How many pages SQLite copies at a time. Transactions run in between. */
const PAGES_PER_STEP = 100;
/** How many steps are synced together: about 4 MB. */
const STEPS_PER_SYNC = 10;

/** A copy that cannot be made. The message names the fix. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
}

/**
 * Copies the open database to a file that is replaced if it exists, and that only this user can
 * read. SQLite copies some pages at a time in another thread, and repeats those that a write changes
 * meanwhile, so that the copy is consistent and transactions go on. Uses this connection: closing
 * another one would release the lock of the file.
 *
 * SQLite's last step syncs what is not synced yet, and transactions wait for it: 150 ms for 200 MB.
 * So the copy is synced every few steps, which transactions wait for only some milliseconds.
 *
 * @throws {BackupError} there is no space for the copy
 */
export async function copyDatabase(db: DatabaseSync, to: string): Promise<void> {
  const { page_count: pages, page_size: pageSize } = db
    .prepare('SELECT page_count, page_size FROM pragma_page_count, pragma_page_size')
    .get() as { page_count: number; page_size: number };
  rmSync(to, { force: true });
  const { bavail, bsize } = statfsSync(dirname(to));
  const needed = pages * pageSize + SPARE_BYTES;
  if (bavail * bsize < needed) {
    const megabytes = Math.ceil(needed / 1_000_000);
    throw new BackupError(
      `The copy is made in ${dirname(to)}, and needs ${megabytes} MB of free space there.`,
    );
  }
  // SQLite would let other users read it.
  const file = openSync(to, 'wx', 0o600);
  let steps = 0;
  try {
    await backup(db, to, {
      rate: PAGES_PER_STEP,
      progress() {
        steps += 1;
        if (steps % STEPS_PER_SYNC === 0) fdatasyncSync(file);
      },
    });
  } catch (error) {
    rmSync(to, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}
