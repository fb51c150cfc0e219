import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { parseServiceAccount } from '../config/oauth-config.ts';
import { parseClientFile } from '../login/client-file.ts';
import { logInByConsent, logInByServiceAccount } from '../login/login.ts';
import { LoginError } from '../login/login-error.ts';
import { type LoginFlags, readLoginOptions, readOptionFile } from '../login/options.ts';
import { confirmRetry, isUsable, type LoginContext, requireTerminal } from './login-context.ts';
import { checkNewFiles } from './new-files.ts';
import type { Settings } from './settings.ts';

/** Where `outtray login` writes by default, too. */
const OAUTH_FILE = 'gmail-oauth.json';

/** Asks for consent in a browser. Writes its file once Gmail accepts the login. */
export async function logInWithOAuth(context: LoginContext): Promise<Settings> {
  const { flags } = context.options;
  checkNewFiles([OAUTH_FILE]);
  const clientFile = await findFile(
    context,
    'client-file',
    'File of an OAuth client of type Desktop app, from https://console.cloud.google.com/auth/clients',
    (text) => parseClientFile(text, undefined),
  );
  const paste = flags.paste ?? (await needsPaste(context));
  await logIn({ 'client-file': clientFile, out: OAUTH_FILE, paste, port: flags.port }, context);
  return { GMAIL_OAUTH_FILE: OAUTH_FILE };
}

/** Shows what an administrator must delegate, and logs in once it is delegated. */
export async function logInWithServiceAccount(context: LoginContext): Promise<Settings> {
  const file = await findFile(context, 'service-account', 'File of the JSON key', parseServiceAccount);
  await logIn({ 'service-account': file }, context);
  return { GMAIL_SERVICE_ACCOUNT_FILE: resolve(file) };
}

async function needsPaste({ options, terminal }: LoginContext): Promise<boolean> {
  if (terminal === null || options.flags.port !== undefined) return false;
  return !(await terminal.confirm('Can you open a browser on this machine?', true));
}

async function findFile(
  { options, terminal, print }: LoginContext,
  option: 'client-file' | 'service-account',
  question: string,
  parse: (text: string) => unknown,
): Promise<string> {
  const given = options.flags[option];
  if (given !== undefined) return given;
  const flag = `--${option}`;
  print('');
  return requireTerminal(terminal, flag).ask(question, (answer) => {
    const path = toPath(answer);
    readOptionFile(flag, path, parse);
    return path;
  });
}

/** Terminals put a path that is dropped on them into quotes. */
function toPath(answer: string): string {
  return answer.replace(/^(["'])(.*)\1$/, '$2').replace(/^~(?=\/)/, homedir());
}

/** Runs `outtray login`, again after a failure. */
async function logIn(flags: LoginFlags, { user, env, terminal, print }: LoginContext): Promise<void> {
  const login = readLoginOptions({ ...flags, user }, env);
  const io = { print, readLine: terminal?.readLine ?? null };
  for (;;) {
    try {
      const trial =
        login.kind === 'consent' ? await logInByConsent(login, io) : await logInByServiceAccount(login, io);
      if (isUsable(trial, terminal)) return;
    } catch (error) {
      if (!(error instanceof LoginError)) throw error;
      print(`Not logged in: ${error.message}.\n${error.advice}`);
    }
    await confirmRetry(terminal);
  }
}
