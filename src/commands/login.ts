import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { variableOf } from '../config/accounts-config.ts';
import { EnvFileError, loadEnvFile } from '../config/env-file.ts';
import { type Environment, isSet, readSettings } from '../config/environment.ts';
import { LOGIN_FIELDS } from '../config/login-config.ts';
import { InvalidValue } from '../config/value-parsers.ts';
import { logInByConsent, logInByServiceAccount } from '../login/login.ts';
import { LoginError } from '../login/login-error.ts';
import { type LoginOptions, readLoginOptions } from '../login/options.ts';
import type { Trial } from '../login/try-login.ts';
import { endNow } from '../service/shutdown.ts';
import { complain, print } from './output.ts';

const USAGE = `Usage: outtray login [options]

Logs in to Gmail with OAuth. Asks for consent in a browser, logs in once, and writes a file for GMAIL_OAUTH_FILE. A running service
reads that file again after a refused login.

  --user ADDRESS          the account (GMAIL_USER)
  --client-file FILE      OAuth client of type Desktop app, as downloaded from the Google Cloud console
  --client-id ID          that client without its file, with --client-secret (GMAIL_OAUTH_CLIENT_ID)
  --client-secret SECRET  (GMAIL_OAUTH_CLIENT_SECRET)
  --out FILE              file to write (GMAIL_OAUTH_FILE, or gmail-oauth.json)
  --paste                 no browser on this machine: paste the address that the browser cannot open
  --port PORT             port of 127.0.0.1 that Google redirects the browser to (a free one)
  --service-account FILE  instead of consent: show what to delegate to this Workspace service account, and log in

To renew a login, no client is needed: the file names it. A login of the same account is replaced once the new one works. No other
file is overwritten.
Exits with code 0 if Gmail accepted the login.`;

const OPTIONS = {
  user: { type: 'string' },
  'client-file': { type: 'string' },
  'client-id': { type: 'string' },
  'client-secret': { type: 'string' },
  out: { type: 'string' },
  paste: { type: 'boolean' },
  port: { type: 'string' },
  'service-account': { type: 'string' },
} as const;

/** Logs in with OAuth. Returns the exit code. */
export async function login(args: string[], { signal }: { signal: AbortSignal }): Promise<number> {
  if (args.includes('--help')) {
    print(USAGE);
    return 0;
  }
  // Nothing needs to be cleaned up.
  signal.addEventListener('abort', () => endNow(1));
  try {
    const { values: flags } = parseArgs({ args, options: OPTIONS });
    loadEnvFile(process.env);
    return await logIn(readLoginOptions(flags, process.env));
  } catch (error) {
    if (error instanceof LoginError) return complain(`Not logged in: ${error.message}.\n${error.advice}`, 1);
    const usage = (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS') ? `\n\n${USAGE}` : '';
    if (usage === '' && !(error instanceof InvalidValue || error instanceof EnvFileError)) throw error;
    return complain(`${(error as Error).message}${usage}`, 2);
  }
}

async function logIn(options: LoginOptions): Promise<number> {
  const { file } = options;
  let trial: Trial;
  if (options.kind === 'service_account')
    trial = await logInByServiceAccount(options, { print, readLine: null });
  else {
    using input = openInput(options.paste);
    trial = await logInByConsent(options, { print, readLine: input?.readLine ?? null });
  }
  if (trial.kind !== 'refused') print(describeSettings(options, resolve(file), process.env));
  return trial.kind === 'accepted' ? 0 : 1;
}

/** Returns the settings with which the service uses the login. */
function describeSettings({ kind, user }: LoginOptions, file: string, env: Environment): string {
  const field = kind === 'consent' ? 'oauth' : 'service_account';
  const settings = readSettings(env);
  if (isSet(settings.GMAIL_ACCOUNTS))
    return `In GMAIL_ACCOUNTS, set ${JSON.stringify({ user, [`${field}_file`]: file })}`;
  const conflicts = LOGIN_FIELDS.filter((other) => other !== field)
    .map((other) => settings[variableOf(other)])
    .filter(isSet)
    .map(({ label }) => label);
  const variable = `${variableOf(field)}_FILE`;
  const isSetUp = resolve(env[variable] ?? '') === file && settings.GMAIL_USER.text === user;
  return [
    isSetUp
      ? `${variable} already names this file. A running service reads it after the next refused login; POST /accounts/${user}/verify logs in at once.`
      : `In .env or the environment, set GMAIL_USER=${user} and ${variable}=${file}`,
    ...(conflicts.length > 0 ? [`Remove ${conflicts.join(', ')}: an account has one way to log in.`] : []),
  ].join('\n');
}

/** Reads lines from a terminal, and for `--paste` also from a pipe. Null if there is no input. */
function openInput(
  paste: boolean,
): (Disposable & { readonly readLine: () => Promise<string | null> }) | null {
  if (!paste && !process.stdin.isTTY) return null;
  const input = createInterface({ input: process.stdin });
  const lines = input[Symbol.asyncIterator]();
  return {
    readLine: async () => {
      const { value, done } = await lines.next();
      return done ? null : value;
    },
    [Symbol.dispose]: () => input.close(),
  };
}
