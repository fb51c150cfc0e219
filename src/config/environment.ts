import { readFileSync } from 'node:fs';
import { getSystemErrorMessage } from 'node:util';
import { closest } from 'fastest-levenshtein';
import { VARIABLES, type VariableName } from './variables.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What is wrong with one variable, and how to mend it. */
export interface Problem {
  readonly variable: string;
  readonly message: string;
}

/** One variable as it was found, before it is parsed. `label` is the name under which it was set, `problem` why there is no text. */
export interface Setting {
  readonly name: VariableName;
  readonly label: string;
  readonly text?: string;
  readonly problem?: string;
}

/** Finds every variable in the environment, or in the file that `<name>_FILE` names. Empty values count as unset. */
export function readSettings(env: Environment): Setting[] {
  return VARIABLES.map(({ name, secret }) => {
    const text = env[name]?.trim() ?? '';
    const path = (secret && env[`${name}_FILE`]?.trim()) || '';
    if (path === '') return text === '' ? { name, label: name } : { name, label: name, text };
    if (text !== '') return { name, label: name, problem: `It is set twice, also by ${name}_FILE: keep one.` };
    return readSecret(name, path);
  });
}

function readSecret(name: VariableName, path: string): Setting {
  const label = `${name}_FILE`;
  try {
    const text = readFileSync(path, 'utf8').trim();
    return text === '' ? { name, label, problem: `${path} is empty: put the secret into it.` } : { name, label, text };
  } catch (error) {
    // A word without a slash may be the secret itself, set under the wrong name: it is not repeated.
    const what = path.includes('/') ? path : 'What it names';
    return { name, label, problem: `${what} cannot be read: ${reasonOf(error)}. It must be the path of a file that the service may read.` };
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number' ? getSystemErrorMessage(error.errno) : String(error);
}

/** Beginnings that hardly anything but a misspelt variable of ours has. HOST, PORT and LOG_ are too common to judge. */
const PREFIXES = [
  'GMAIL_',
  'SMTP_',
  'QUEUE_',
  'API_KEY',
  'RATE_LIMIT',
  'RETRY_',
  'RETAIN',
  'ON_UNCERTAIN',
  'MAX_MESSAGE',
  'TRUST_PROX',
  'SHUTDOWN_',
];

/** A warning for each variable that looks like ours and is not: most likely a typing error, which else would go unnoticed. */
export function warnOfUnknown(env: Environment): string[] {
  const known: string[] = VARIABLES.flatMap(({ name, secret }) => (secret ? [name, `${name}_FILE`] : [name]));
  return Object.keys(env)
    .filter((name) => !known.includes(name) && PREFIXES.some((prefix) => name.toUpperCase().startsWith(prefix)))
    .map((name) => `${name} is not a variable of this version and is ignored. The nearest name is ${closest(name.toUpperCase(), known)}.`);
}
