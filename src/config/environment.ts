import { readFileSync } from 'node:fs';
import { getSystemErrorMessage } from 'node:util';
import { VARIABLES, type VariableName } from './variables.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What is wrong with one variable, and how to mend it. */
export interface Problem {
  readonly variable: string;
  readonly message: string;
}

/** One variable, or one field of a list, as it was found and before it is parsed. */
export interface Setting {
  /** The name under which it was set. */
  readonly label: string;
  readonly text?: string;
  /** Why there is no text, although it is set. */
  readonly problem?: string;
  /** Reads the file again that it stands in; absent if it stands in none. */
  readonly again?: () => Setting;
}

export type Settings = Readonly<Record<VariableName, Setting>>;

/** Finds every variable in the environment, or in the file that `<name>_FILE` names. */
export function readSettings(env: Environment): Settings {
  const entries = VARIABLES.map(({ name, secret }) => [
    name,
    readSetting(env, name, secret ? `${name}_FILE` : null),
  ]);
  return Object.fromEntries(entries) as Settings;
}

/** Finds one setting, or the file that `fileName` names. Empty values count as unset. */
export function readSetting(values: Environment, name: string, fileName: string | null): Setting {
  const text = values[name]?.trim() ?? '';
  const path = (fileName !== null && values[fileName]?.trim()) || '';
  if (fileName === null || path === '') return text === '' ? { label: name } : toSetting(name, text);
  if (text !== '') return { label: name, problem: `It is set twice, also by ${fileName}: keep one.` };
  return isQuoted(fileName, path) ? { label: fileName, problem: REMOVE_QUOTES } : readSecret(fileName, path);
}

const REMOVE_QUOTES =
  'It begins or ends with a quotation mark. Remove the quotes around the value: a shell strips them, but docker --env-file and many others pass them on.';

function toSetting(label: string, text: string): Setting {
  return isQuoted(label, text) ? { label, problem: REMOVE_QUOTES } : { label, text };
}

/**
 * Whether all of the text is in quotes, or has one at an end without its other half. `"Acme, Inc." <a@acme.com>` is not quoted. The secret of
 * an API key may have any characters, a quote at one end included.
 */
function isQuoted(label: string, text: string): boolean {
  const plain = straighten(text);
  const first = plain.charAt(0);
  const last = plain.charAt(plain.length - 1);
  if ((isQuote(first) && isQuote(last)) || /[\]}]["'`]$/.test(plain)) return true;
  const isAlone = (quote: string) => isQuote(quote) && plain.indexOf(quote) === plain.lastIndexOf(quote);
  return (isAlone(first) && !/^secret/.test(label)) || (isAlone(last) && !/^(?:secret|API_KEYS)/.test(label));
}

function straighten(text: string): string {
  return text.replace(/[\u201c-\u201f\u00ab\u00bb]/g, '"').replace(/[\u2018-\u201b]/g, "'");
}

function isQuote(character: string): boolean {
  return /["'`]/.test(character);
}

function readSecret(label: string, path: string): Setting {
  const again = () => readSecret(label, path);
  try {
    const text = readFileSync(path, 'utf8').trim();
    return text === ''
      ? { label, problem: `${path} is empty: put the secret into it.`, again }
      : { ...toSetting(label, text), again };
  } catch (error) {
    // A word without a slash may be the secret itself, set under the wrong name: it is not repeated.
    const what = path.includes('/') ? path : 'What it names';
    const problem = `${what} cannot be read: ${reasonOf(error)}. It must be the path of a file that the service may read.`;
    return { label, problem, again };
  }
}

/** Whether there is something, be it usable or not. */
export function isSet({ text, problem }: Setting): boolean {
  return text !== undefined || problem !== undefined;
}

/** What the system says of a file that cannot be read, without its path. */
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
