import { parseArgs } from 'node:util';
import { EnvFileError, loadEnvFile } from '../config/env-file.ts';
import type { Environment } from '../config/environment.ts';
import { InvalidValue } from '../config/value-parsers.ts';
import { runDoctor } from '../doctor/doctor.ts';
import { type Setup, setUp } from '../init/init.ts';
import { LoginRefused } from '../init/login-context.ts';
import { describeNextSteps, KEY_NAME, type Launcher } from '../init/next-steps.ts';
import { type InitFlags, type InitOptions, readInitOptions } from '../init/options.ts';
import { Canceled, createTerminal, type Terminal } from '../init/terminal.ts';
import { LoginError } from '../login/login-error.ts';
import { endNow } from '../service/shutdown.ts';
import { toColoredText } from './doctor.ts';
import { complain, print } from './output.ts';

const USAGE = `Usage: outtray init [options]

Sets up sending in the working directory: asks for the account and its login, logs in to check them, makes an API key and writes .env
(mode 0600). Then runs the doctor, and shows how to start the service and send. Asks for what no option gives. Without a terminal, a
missing option is an error.

  --user ADDRESS            the account (GMAIL_USER)
  --app-password-file FILE  log in with the app password in this file, or on standard input if FILE is - (GMAIL_APP_PASSWORD)
  --client-file FILE        log in with OAuth, by this client of type Desktop app
  --paste                   OAuth on a machine without a browser
  --port PORT               OAuth: port of 127.0.0.1 that Google redirects the browser to (a free one)
  --service-account FILE    log in with the JSON key of this Workspace service account
  --relay                   send through the Workspace relay, which knows the IP address of this machine
  --compose                 write secrets/ and .env for docker-compose.yml
  --send-to ADDRESS         send a test message to this address

No existing file is overwritten. SMTP_URL, SMTP_EHLO_NAME, HOST, PORT and NODE_EXTRA_CA_CERTS of the environment are written to .env, too.
Exits with code 0 if mail can be sent, and with 130 if canceled.`;

const OPTIONS = {
  user: { type: 'string' },
  'app-password-file': { type: 'string' },
  'client-file': { type: 'string' },
  paste: { type: 'boolean' },
  port: { type: 'string' },
  'service-account': { type: 'string' },
  relay: { type: 'boolean' },
  compose: { type: 'boolean' },
  'send-to': { type: 'string' },
} as const;

/** The exit code of a process that SIGINT ended. */
const EXIT_CANCELED = 130;

/** Sets up sending. Returns the exit code. */
export async function init(
  args: string[],
  { version, signal }: { version: string; signal: AbortSignal },
): Promise<number> {
  if (args.includes('--help')) {
    print(USAGE);
    return 0;
  }
  signal.addEventListener('abort', () => {
    // Files are written in one step, so nothing needs to be cleaned up but the terminal.
    if (process.stdin.isTTY) process.stdin.setRawMode(false);
    endNow(complain('\nCanceled.', EXIT_CANCELED));
  });
  try {
    const { values: flags } = parseArgs({ args, options: OPTIONS });
    const options = readInitOptions(flags, process.env);
    const terminal = process.stdin.isTTY && process.stdout.isTTY ? createTerminal(print) : null;
    const setup = await setUp(options, { env: process.env, terminal, print });
    print(`Wrote ${setup.files.join(', ')}.`);
    return await finish(setup, options, terminal, version);
  } catch (error) {
    if (error instanceof Canceled) return complain('\nCanceled.', EXIT_CANCELED);
    if (error instanceof LoginRefused) return complain('Nothing was written.', 1);
    if (error instanceof LoginError) return complain(`${error.message}.\n${error.advice}`, 2);
    if (error instanceof InvalidValue || error instanceof EnvFileError) return complain(error.message, 2);
    if ((error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS'))
      return complain(`${(error as Error).message}\n\n${USAGE}`, 2);
    throw error;
  }
}

/** Offers a test message, runs the doctor, and shows what to do next. Returns the exit code. */
async function finish(
  { user, apiKey, settings }: Setup,
  { flags, sendTo }: InitOptions,
  terminal: Terminal | null,
  version: string,
): Promise<number> {
  const sendsToUser = sendTo === null && (await terminal?.confirm(`Send a test message to ${user}?`, true));
  const report = await runDoctor({
    ...readConfiguration(settings, flags),
    version,
    sendTo: sendsToUser ? user : sendTo,
  });
  print(`\n${toColoredText(report)}\n`);
  // Standard output that is not a terminal may be a log, where the secret must not appear.
  if (process.stdout.isTTY) print(`API key "${KEY_NAME}", which is also in the file: ${apiKey}\n`);
  print(describeNextSteps(user, settings, flags.compose ? 'compose' : findLauncher(process.env)));
  return report.ok ? 0 : 1;
}

/** Returns the configuration as the service will read it. */
function readConfiguration(
  settings: Setup['settings'],
  { compose }: InitFlags,
): { env: Environment; envFile: string | null } {
  if (compose) return { env: { ...process.env, GMAIL_APP_PASSWORD: '', ...settings }, envFile: null };
  const envFile = loadEnvFile(process.env);
  return { env: process.env, envFile };
}

function findLauncher({ npm_command }: NodeJS.ProcessEnv): Launcher {
  if (npm_command === 'run-script' || npm_command === 'run') return 'npm';
  return npm_command === 'exec' ? 'npx' : 'outtray';
}
