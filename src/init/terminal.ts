import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { InvalidValue } from '../config/value-parsers.ts';
import { LoginError } from '../login/login-error.ts';

/** The user pressed Ctrl-C or Ctrl-D, or chose not to continue. */
export class Canceled extends Error {
  override readonly name = 'Canceled';
}

export interface Choice<T> {
  readonly value: T;
  readonly text: string;
}

/** Asks questions on a terminal. Each rejects with {@link Canceled} at Ctrl-C and Ctrl-D. */
export interface Terminal {
  /** Asks until `parse` accepts the answer. Shows why it throws InvalidValue or LoginError. */
  ask<T>(question: string, parse: (answer: string) => T): Promise<T>;
  /** Like `ask`, without showing what is typed. */
  askSecret<T>(question: string, parse: (answer: string) => T): Promise<T>;
  /** An empty answer is the default. */
  confirm(question: string, byDefault: boolean): Promise<boolean>;
  /** Shows numbered choices. An empty answer is the first. */
  choose<T>(question: string, choices: readonly Choice<T>[]): Promise<T>;
  readLine(signal: AbortSignal): Promise<string>;
}

type ReadAnswer = (prompt: string, signal?: AbortSignal) => Promise<string>;

/** Creates a terminal on standard input and output. Reads only while a question is open. */
export function createTerminal(print: (text: string) => void): Terminal {
  const askWith = async <T>(read: ReadAnswer, question: string, parse: (answer: string) => T): Promise<T> => {
    for (;;) {
      const answer = (await read(`${question}: `)).trim();
      try {
        return parse(answer);
      } catch (error) {
        if (error instanceof LoginError) print(`${capitalize(error.message)}. ${error.advice}`);
        else if (error instanceof InvalidValue) print(error.message);
        else throw error;
      }
    }
  };
  return {
    ask: (question, parse) => askWith(readVisible, question, parse),
    askSecret: (question, parse) => askWith(readHidden, question, parse),
    confirm: (question, byDefault) =>
      askWith(readVisible, `${question} [${byDefault ? 'Y/n' : 'y/N'}]`, (answer) =>
        answer === '' ? byDefault : parseYesOrNo(answer),
      ),
    choose(question, choices) {
      print([question, ...choices.map(({ text }, i) => `  ${i + 1}  ${text}`)].join('\n'));
      return askWith(readVisible, 'Number [1]', (answer) => parseNumber(answer || '1', choices));
    },
    readLine: (signal) => readVisible('', signal),
  };
}

function parseYesOrNo(answer: string): boolean {
  if (!/^(y|yes|n|no)$/i.test(answer)) throw new InvalidValue('Answer y or n.');
  return /^y/i.test(answer);
}

function parseNumber<T>(answer: string, choices: readonly Choice<T>[]): T {
  const choice = choices[/^\d$/.test(answer) ? Number(answer) - 1 : -1];
  if (choice === undefined) throw new InvalidValue(`Answer with a number from 1 to ${choices.length}.`);
  return choice.value;
}

function capitalize(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

const readVisible: ReadAnswer = (prompt, signal) => readLine(process.stdout, prompt, signal);

/** Shows the prompt, and nothing of what is typed. */
const readHidden: ReadAnswer = async (prompt) => {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  try {
    return await readLine(silent, prompt);
  } finally {
    process.stdout.write('\n');
  }
};

/**
 * Reads one line. The terminal is in raw mode only meanwhile: otherwise Ctrl-C is a signal.
 *
 * @param echo Receives the prompt and what is typed.
 */
async function readLine(echo: NodeJS.WritableStream, prompt: string, signal?: AbortSignal): Promise<string> {
  const input = createInterface({ input: process.stdin, output: echo, terminal: true, historySize: 0 });
  const { promise: closed, reject } = Promise.withResolvers<never>();
  input.once('close', () => reject(new Canceled()));
  try {
    // Only now, in raw mode, is a key that answers the prompt neither shown nor a signal.
    if (echo !== process.stdout) process.stdout.write(prompt);
    return await Promise.race([input.question(prompt, signal ? { signal } : {}), closed]);
  } catch (error) {
    throw error instanceof Error && error.name === 'AbortError' ? new Canceled() : error;
  } finally {
    input.close();
  }
}
