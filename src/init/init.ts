import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Environment } from '../config/environment.ts';
import { defaultOf } from '../config/setting-schema.ts';
import { parseSmtpUrl, RELAY_URL } from '../config/smtp-url.ts';
import { InvalidValue, parseEmailSetting } from '../config/value-parsers.ts';
import { logInWithAppPassword } from './app-password.ts';
import { logInWithOAuth, logInWithServiceAccount } from './google-login.ts';
import { type LoginContext, requireTerminal } from './login-context.ts';
import { checkNewFiles, type NewFile, writeNewFiles } from './new-files.ts';
import { KEY_NAME } from './next-steps.ts';
import { accepts, type InitOptions, isFor, type LoginKind } from './options.ts';
import { useRelay } from './relay.ts';
import { carriedSettings, carriedToContainer, formatEnvFile, type Settings } from './settings.ts';
import type { Choice, Terminal } from './terminal.ts';

/** What was set up. */
export interface Setup {
  readonly user: string;
  readonly apiKey: string;
  /** The variables that the service reads, with secrets as files where they are. */
  readonly settings: Settings;
  /** The files written. */
  readonly files: readonly string[];
}

export interface InitIo {
  readonly env: Environment;
  /** Null: there is none, so nothing is asked. */
  readonly terminal: Terminal | null;
  readonly print: (text: string) => void;
}

const ENV_FILE = '.env';
/** The files that docker-compose.yml mounts. */
const SECRETS = {
  GMAIL_APP_PASSWORD: join('secrets', 'gmail_app_password'),
  API_KEYS: join('secrets', 'api_keys'),
} as const;
/**
 * Compose mounts a secret with the mode of its file, and the container runs as another user. The
 * folder keeps the users of this machine out.
 */
const CONTAINER_MODE = 0o644;

/**
 * Obtains a login that works, makes an API key, and writes both. Nothing is written before Gmail
 * accepts the login, or no server can be used for a login.
 *
 * @throws {InvalidValue} if an option is missing or invalid, or a file exists
 * @throws {LoginRefused} if the login is refused and cannot be asked for again
 * @throws {Canceled} if the user cancels
 */
export async function setUp(options: InitOptions, io: InitIo): Promise<Setup> {
  const { compose = false } = options.flags;
  checkNewFiles([ENV_FILE, ...(compose ? Object.values(SECRETS) : [])]);
  const user = options.user ?? (await askUser(io.terminal));
  const kind = options.login ?? (await chooseLogin(user, options, io.terminal));
  if (!isFor(kind, user))
    throw new InvalidValue(
      `${user} is a personal account, and ${kind === 'relay' ? '--relay' : '--service-account'} needs one of a Workspace. Use --app-password-file or --client-file.`,
    );
  const servers = options.servers ?? parseSmtpUrl(kind === 'relay' ? RELAY_URL : defaultOf('SMTP_URL'));
  const login = await LOGINS[kind]({ ...io, user, options, servers });
  const apiKey = randomBytes(24).toString('hex');
  const account = { GMAIL_USER: user, ...login, API_KEYS: `${KEY_NAME}:${apiKey}` };
  const { settings, files } = compose ? toComposeFiles(account, io.env) : toEnvFile(account, io.env);
  writeNewFiles(files);
  return { user, apiKey, settings, files: files.map(({ path }) => path) };
}

function askUser(terminal: Terminal | null): Promise<string> {
  return requireTerminal(terminal, '--user').ask('Address of the Gmail or Workspace account', (text) =>
    parseEmailSetting(text, (reason) => reason),
  );
}

const LOGINS: Readonly<Record<LoginKind, (context: LoginContext) => Promise<Settings>>> = {
  app_password: logInWithAppPassword,
  oauth: logInWithOAuth,
  relay: useRelay,
  service_account: logInWithServiceAccount,
};

const CHOICES: readonly Choice<LoginKind>[] = [
  { value: 'app_password', text: 'App password of 16 letters' },
  { value: 'oauth', text: 'OAuth: consent in a browser' },
  { value: 'relay', text: 'Workspace relay: knows the IP address of this machine' },
  { value: 'service_account', text: 'Workspace service account' },
];

async function chooseLogin(
  user: string,
  { servers }: InitOptions,
  terminal: Terminal | null,
): Promise<LoginKind> {
  if (terminal === null)
    throw new InvalidValue(
      'Set --app-password-file, --client-file, --service-account or --relay: a login is required, and there is no terminal to ask on.',
    );
  const choices = CHOICES.filter(({ value }) => accepts(servers, value) && isFor(value, user));
  return terminal.choose(`How does Outtray log in as ${user}?`, choices);
}

interface Plan {
  readonly settings: Settings;
  readonly files: readonly NewFile[];
}

function toEnvFile(account: Settings, env: Environment): Plan {
  const settings = { ...account, ...carriedSettings(env) };
  return { settings, files: [{ path: ENV_FILE, text: formatEnvFile(settings), mode: 0o600 }] };
}

function toComposeFiles({ GMAIL_USER = '', ...secrets }: Settings, env: Environment): Plan {
  const variables = { GMAIL_USER, ...carriedToContainer(env) };
  const entries = Object.entries(SECRETS).map(([name, path]) => ({ name, path, text: secrets[name] ?? '' }));
  return {
    settings: {
      ...variables,
      ...Object.fromEntries(entries.map(({ name, path }) => [`${name}_FILE`, path])),
    },
    files: [
      ...entries.map(({ path, text }) => ({ path, text, mode: CONTAINER_MODE })),
      { path: ENV_FILE, text: formatEnvFile(variables), mode: 0o600 },
    ],
  };
}
