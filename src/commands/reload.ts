import type { Logger } from 'pino';
import { type Config, ConfigError, type Reloadable } from '../config/config.ts';
import { EnvFileError, readEnvFile } from '../config/env-file.ts';
import type { Environment } from '../config/environment.ts';
import { findRestartChanges } from '../config/reload.ts';
import type { AccountChanges } from '../service/delivery-engine.ts';
import type { Service } from '../service/service.ts';

export interface ReloadOptions {
  readonly service: Pick<Service, 'reload' | 'resetGone'>;
  readonly config: Config;
  /** The environment of `config`. */
  readonly env: Environment;
  /** The environment of the process without the variables of `.env`. */
  readonly ownEnv: Environment;
  /** Called with the environment that is in effect now. */
  readonly onReload: (env: Environment) => void;
  readonly logger: Logger;
}

/**
 * Returns a function that reloads keys and accounts. Overlapping calls run one after the other. If
 * anything is invalid, everything stays as it was.
 */
export function createReload(options: ReloadOptions): () => void {
  let last = Promise.resolve();
  return () => {
    last = last.then(() => reload(options));
  };
}

async function reload({
  service,
  config,
  env: former,
  ownEnv,
  onReload,
  logger,
}: ReloadOptions): Promise<void> {
  service.resetGone();
  try {
    const env = { ...ownEnv };
    readEnvFile(env);
    const variables = findRestartChanges(former, env);
    if (variables.length > 0) logger.warn({ variables }, 'changed variables take effect at the next start');
    const next = config.reload(env);
    const changes = await service.reload(next);
    onReload(env);
    logKeys(next, ownEnv, logger);
    if (next.inFiles.accounts || hasAccountInEnvFile(env, ownEnv)) logAccounts(next, changes, logger);
  } catch (error) {
    logFailure(error, logger);
  }
}

function logKeys({ apiKeys, inFiles }: Reloadable, ownEnv: Environment, logger: Logger): void {
  if (inFiles.apiKeys || !ownEnv.API_KEYS?.trim()) {
    logger.info({ api_keys: apiKeys.length }, 'API keys reloaded');
    return;
  }
  logger.warn(
    'API_KEYS is set in the environment, which cannot change while the service runs; use API_KEYS_FILE',
  );
}

/** Whether `.env` sets a variable of the accounts. */
function hasAccountInEnvFile(env: Environment, ownEnv: Environment): boolean {
  return Object.keys(env).some((name) => name.startsWith('GMAIL_') && ownEnv[name] === undefined);
}

function logAccounts({ accounts }: Reloadable, changes: AccountChanges, logger: Logger): void {
  logger.info({ accounts: accounts.map(({ user }) => user), ...changes }, 'accounts reloaded');
}

function logFailure(error: unknown, logger: Logger): void {
  const isAboutKeys =
    error instanceof ConfigError && error.problems.every(({ variable }) => variable.startsWith('API_KEYS'));
  logger.error(
    { problems: problemsOf(error) },
    `${isAboutKeys ? 'API key reload' : 'reload'} failed; keeping the previous keys and accounts`,
  );
}

function problemsOf(error: unknown): string[] {
  if (error instanceof ConfigError)
    return error.problems.map(({ variable, message }) => `${variable}: ${message}`);
  return [error instanceof EnvFileError ? error.message : String(error)];
}
