import { randomBytes } from 'node:crypto';
import { constants, readFileSync } from 'node:fs';
import { access, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { reasonOf } from '../config/environment.ts';
import { formatOAuthGrant, type OAuthGrant, parseOAuthGrant } from '../config/oauth-file.ts';
import { InvalidValue } from '../config/value-parsers.ts';
import { toMailboxKey } from '../core/message/address.ts';

/** Returns the login in a file; null if there is none. */
export function readLoginFile(file: string): OAuthGrant | null {
  try {
    return parseOAuthGrant(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

/**
 * Checks that the login of a user may be written to the file: there is none yet, or it is an
 * earlier login of this user.
 *
 * @throws {InvalidValue} with the fix
 */
export async function checkTarget(file: string, user: string): Promise<void> {
  const folder = dirname(resolve(file));
  try {
    await access(folder, constants.W_OK);
  } catch (error) {
    throw new InvalidValue(
      `${folder} cannot be written: ${reasonOf(error)}. Create it, or choose another folder.`,
    );
  }
  if ((await stat(file).catch(() => null)) === null) return;
  const account = readLoginFile(file)?.account ?? null;
  if (account === null || toMailboxKey(account) !== toMailboxKey(user))
    throw new InvalidValue(
      `${file} exists and is not a login of ${user}. It is not overwritten: remove it, or choose another file.`,
    );
}

/**
 * Writes the file in one step: a service that reads it meanwhile finds the old or the new login.
 * Only its owner can read a new file. A replaced one leaves its mode unchanged, and its owner if
 * root replaces it, so that the service can still read it.
 *
 * @throws {InvalidValue} if that fails
 */
export async function writeLoginFile(file: string, grant: OAuthGrant): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  const former = await stat(file).catch(() => null);
  try {
    await using handle = await open(temporary, 'wx', 0o600);
    await handle.writeFile(formatOAuthGrant(grant));
    if (former) await handle.chmod(former.mode & 0o777);
    if (former && process.getuid?.() === 0) await handle.chown(former.uid, former.gid);
    await handle.sync();
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new InvalidValue(`${file} cannot be written: ${reasonOf(error)}.`);
  }
}
