import { lstatSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseEnv } from 'node:util';
import { reasonOf } from './environment.ts';
import { VARIABLES } from './variables.ts';

/** An unusable `.env` file. The message names the file and the fix, and repeats no value. */
export class EnvFileError extends Error {
  override readonly name = 'EnvFileError';
}

/** Node reads this variable only at startup. */
const EXTRA_CA = 'NODE_EXTRA_CA_CERTS';

/**
 * Loads the `.env` file of a folder into the environment, if there is one.
 *
 * A variable that is already set wins, even if it is empty. One with a value also wins over its
 * other form in the file: GMAIL_APP_PASSWORD over GMAIL_APP_PASSWORD_FILE, and vice versa.
 *
 * @returns The path of the file, or null if there is none.
 * @throws {EnvFileError} If the file cannot be read, is not UTF-8 text or has an unclosed quote.
 */
export function loadEnvFile(env: NodeJS.ProcessEnv, folder = '.'): string | null {
  const former = env[EXTRA_CA];
  const path = readEnvFile(env, folder);
  const extraCa = env[EXTRA_CA];
  if (path !== null && former === undefined && extraCa) trustCertificates(extraCa, path);
  return path;
}

/**
 * Like {@link loadEnvFile}, but trusts no certificates, which is done once per process.
 *
 * @throws {EnvFileError}
 */
export function readEnvFile(env: NodeJS.ProcessEnv, folder = '.'): string | null {
  const file = join(folder, '.env');
  if (lstatSync(file, { throwIfNoEntry: false }) === undefined) return null;
  const path = resolve(file);
  const values = parseEnv(readText(path));
  checkQuotes(values, path);
  const added = Object.entries(values).filter(([name]) => env[name] === undefined && !env[otherForm(name)]);
  for (const [name, value] of added) env[name] = value;
  return path;
}

function otherForm(name: string): string {
  return name.endsWith('_FILE') ? name.replace(/_FILE$/, '') : `${name}_FILE`;
}

/**
 * Reads a file as UTF-8 with `\n` line ends. Drops a byte order mark, which parseEnv would make
 * part of the first name.
 */
function readText(path: string): string {
  let bytes: Buffer;
  try {
    // Reading a named pipe would block forever.
    if (!statSync(path).isFile())
      throw new EnvFileError(`${path} is not a file. Replace it with one, or remove it.`);
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof EnvFileError) throw error;
    throw new EnvFileError(
      `${path} cannot be read: ${reasonOf(error)}. Let this user read it, or remove it.`,
    );
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (!text.includes('\0')) return text.replace(/\r\n?/g, '\n');
  } catch {
    // Reported below.
  }
  throw new EnvFileError(`${path} is not UTF-8 text. Save it as UTF-8.`);
}

const ASSIGNMENT = new RegExp(
  `\\n\\s*(?:export\\s+)?(?:${VARIABLES.map(({ name }) => name).join('|')})(?:_FILE)?\\s*=`,
);

/** Values may span lines, but a value that contains the next variable lacks its closing quote. */
function checkQuotes(values: NodeJS.Dict<string>, path: string): void {
  const open = Object.entries(values).find(([, value]) => ASSIGNMENT.test(value ?? ''));
  if (open)
    throw new EnvFileError(
      `${path}: the value of ${open[0]} has no closing quote. Add it at the end of its line.`,
    );
}

function trustCertificates(file: string, path: string): void {
  try {
    // Loaded here, because loading it takes a health check as long as the rest of its work.
    const tls = process.getBuiltinModule('node:tls');
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), readFileSync(file, 'utf8')]);
  } catch (error) {
    throw new EnvFileError(
      `${path}: the file that ${EXTRA_CA} names cannot be used: ${reasonOf(error)}. It must hold certificates in PEM.`,
    );
  }
}
