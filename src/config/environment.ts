import { readFileSync } from 'node:fs';
import { getSystemErrorMessage } from 'node:util';
import { VARIABLES, type VariableName } from './variables.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The problem with one variable, and its fix. */
export interface Problem {
  readonly variable: string;
  readonly message: string;
}

/** One variable, or one field of a list, before it is parsed. */
export interface Setting {
  /** The name it was set by. */
  readonly label: string;
  readonly text?: string;
  /** Why it has no text although it is set. */
  readonly problem?: string;
  /** Reads its file again. Absent if it is not in a file. */
  readonly reread?: () => Setting;
}

export type Settings = Readonly<Record<VariableName, Setting>>;

/** Reads every variable from the environment, or from the file that `<name>_FILE` names. */
export function readSettings(env: Environment): Settings {
  const entries = VARIABLES.map(({ name, secret }) => [
    name,
    readSetting(env, name, secret ? `${name}_FILE` : null),
  ]);
  return Object.fromEntries(entries) as Settings;
}

/** Reads one setting, or the file that `fileName` names. Empty values count as unset. */
export function readSetting(values: Environment, name: string, fileName: string | null): Setting {
  const text = values[name]?.trim() ?? '';
  const path = (fileName !== null && values[fileName]?.trim()) || '';
  if (fileName === null || path === '') return text === '' ? { label: name } : toSetting(name, text);
  if (text !== '')
    return { label: name, problem: `It is set twice, also by ${fileName}: remove one of them.` };
  return isQuoted(fileName, path) ? { label: fileName, problem: REMOVE_QUOTES } : readSecret(fileName, path);
}

const REMOVE_QUOTES =
  'It begins or ends with a quotation mark. Remove the quotes around the value: a shell strips them, but docker --env-file and many other tools pass them on.';

function toSetting(label: string, text: string): Setting {
  return isQuoted(label, text) ? { label, problem: REMOVE_QUOTES } : { label, text };
}

/**
 * Whether the whole text is in quotes, or has an unpaired quote at one end.
 * `"Acme, Inc." <a@acme.com>` is not quoted. The secret of an API key may contain any characters,
 * including a quote at one end.
 */
function isQuoted(label: string, text: string): boolean {
  const plain = toPlainQuotes(text);
  const first = plain.charAt(0);
  const last = plain.charAt(plain.length - 1);
  if ((isQuote(first) && isQuote(last)) || /[\]}]["'`]$/.test(plain)) return true;
  const isUnpaired = (quote: string) => isQuote(quote) && plain.indexOf(quote) === plain.lastIndexOf(quote);
  const firstCounts = !/^secret/.test(label);
  const lastCounts = !/^(?:secret|API_KEYS)/.test(label);
  return (firstCounts && isUnpaired(first)) || (lastCounts && isUnpaired(last));
}

/** Replaces typographic quotes. */
function toPlainQuotes(text: string): string {
  return text.replace(/[\u201c-\u201f\u00ab\u00bb]/g, '"').replace(/[\u2018-\u201b]/g, "'");
}

function isQuote(character: string): boolean {
  return /["'`]/.test(character);
}

function readSecret(label: string, path: string): Setting {
  const reread = () => readSecret(label, path);
  try {
    const text = readFileSync(path, 'utf8').trim();
    return text === ''
      ? { label, problem: `${path} is empty: put the secret into it.`, reread }
      : { ...toSetting(label, text), reread };
  } catch (error) {
    // Text without a slash may be the secret itself, set by the wrong name: it is not repeated.
    const file = path.includes('/') ? path : 'The file';
    const problem = `${file} cannot be read: ${reasonOf(error)}. It must be the path of a file that the service can read.`;
    return { label, problem, reread };
  }
}

/** Whether a setting is set, valid or not. */
export function isSet({ text, problem }: Setting): boolean {
  return text !== undefined || problem !== undefined;
}

/** Returns the system's reason why a file cannot be read, without its path. */
export function reasonOf(error: unknown): string {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number'
    ? getSystemErrorMessage(error.errno)
    : String(error);
}

const UNCHECKED = 'NODE_TLS_REJECT_UNAUTHORIZED';

/** Reports NODE_TLS_REJECT_UNAUTHORIZED=0, the value at which Node stops checking certificates. */
export function findUncheckedTls(env: Environment): Problem[] {
  if (env[UNCHECKED] !== '0') return [];
  const message =
    'It is 0, which turns off certificate checks in Node. Unset it. To trust a CA of your own, name its PEM file in NODE_EXTRA_CA_CERTS.';
  return [{ variable: UNCHECKED, message }];
}
