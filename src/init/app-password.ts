import { text as readAll } from 'node:stream/consumers';
import { readSettings } from '../config/environment.ts';
import { APP_PASSWORDS_PAGE, parseAppPassword, TWO_STEP_PAGE } from '../config/login-config.ts';
import { InvalidValue } from '../config/value-parsers.ts';
import { printTrial } from '../login/login.ts';
import { readOptionFile } from '../login/options.ts';
import { tryLogin } from '../login/try-login.ts';
import { isUsable, type LoginContext, requireTerminal } from './login-context.ts';
import type { Settings } from './settings.ts';

const OPTION = '--app-password-file';

/** Logs in with an app password. Asks for another one while Gmail refuses it. */
export async function logInWithAppPassword(context: LoginContext): Promise<Settings> {
  const { user, servers, options, terminal, print } = context;
  let password = await readGiven(context);
  if (password === null) {
    requireTerminal(terminal, OPTION);
    print(`Create an app password at ${APP_PASSWORDS_PAGE}\nIt needs 2-Step Verification: ${TWO_STEP_PAGE}`);
  }
  for (;;) {
    password ??= await requireTerminal(terminal, OPTION).askSecret('App password (not shown)', (text) =>
      parsePassword(text),
    );
    print(`Logging in to Gmail as ${user}…`);
    const credentials = { kind: 'app_password', password } as const;
    const trial = await tryLogin(user, credentials, { servers, ehloName: options.ehloName });
    printTrial(trial, user, { print });
    if (isUsable(trial, terminal)) return { GMAIL_APP_PASSWORD: password };
    print('Enter the app password again, or press Ctrl-C.');
    password = null;
  }
}

/** Returns the app password of the option or the variable; null if there is none. */
async function readGiven({ options, env }: LoginContext): Promise<string | null> {
  const file = options.flags['app-password-file'];
  if (file === '-') return parsePassword(await readPipe(), `${OPTION}: `);
  if (file !== undefined) return readOptionFile(OPTION, file, (text) => parsePassword(text));
  const { label, text, problem } = readSettings(env).GMAIL_APP_PASSWORD;
  if (problem !== undefined) throw new InvalidValue(`${label}: ${problem}`);
  return text === undefined ? null : parsePassword(text, `${label}: `);
}

async function readPipe(): Promise<string> {
  if (process.stdin.isTTY)
    throw new InvalidValue(`${OPTION}: - reads a pipe. Leave the option out to be asked instead.`);
  return readAll(process.stdin);
}

/** @throws {InvalidValue} with the mistake. Repeats no part of the text. */
function parsePassword(text: string, label = ''): string {
  try {
    return parseAppPassword(text);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    throw new InvalidValue(`${label}${describeMistake(text.replace(/\s/gu, ''))} ${error.message}`);
  }
}

function describeMistake(text: string): string {
  if (text === '') return 'It is empty.';
  return /^[A-Za-z]+$/.test(text) ? `It has ${text.length} letters.` : 'It has more than letters and spaces.';
}
