import { setFlagsFromString } from 'node:v8';
import { type Config, ConfigError, parseConfig } from '../config/config.ts';
import { EnvFileError, loadEnvFile } from '../config/env-file.ts';
import type { Environment } from '../config/environment.ts';
import { describeUnexpectedError } from '../core/errors.ts';
import { createLogger } from '../log.ts';
import { openService, type Service } from '../service/service.ts';
import { endNow, endWithin } from '../service/shutdown.ts';
import { createReload } from './reload.ts';
import { createServiceDoctor } from './service-doctor.ts';

export const SERVE_USAGE =
  'Usage: outtray serve\n\nRuns the service. It is configured by environment variables and a .env file in the working directory: see docs/reference/configuration.md or .env.example.\nSIGHUP reads the API keys and the accounts again: .env, and the files that variables name.';

/**
 * Growth of the heap between two full collections, in percent of what is in use after the first.
 * V8 chooses up to 300. It reads the flag at each collection, so the flag may change while it runs.
 *
 * With 100, resident memory after 30,000 messages is 28 MB smaller, for 4 % more CPU time per
 * message: `npm run bench -- memory`. With 70 it is 41 MB for 5 %.
 */
const HEAP_GROWTH_PERCENT = 100;

/** Runs the service until the signal is aborted. */
export async function serve(
  args: string[],
  { version, signal }: { version: string; signal: AbortSignal },
): Promise<number> {
  if (args.length > 0) return refuse(args, SERVE_USAGE);
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
  const ownEnv = { ...process.env };
  let envFile: string | null = null;
  let parsed: { config: Config; warnings: string[] };
  try {
    envFile = loadEnvFile(process.env);
    parsed = parseConfig(process.env);
  } catch (error) {
    if (error instanceof EnvFileError) return complain(error.message);
    if (!(error instanceof ConfigError)) throw error;
    return complain(`${error.message}\n${describeSource(envFile)}`);
  }
  const { config, warnings } = parsed;
  const logger = createLogger(config.logLevel, config.logFormat);
  for (const warning of warnings) logger.warn(warning);
  process.on('uncaughtException', (error) => {
    logger.fatal({ err: describeUnexpectedError(error) }, 'unexpected error');
    endNow(1);
  });
  let env: Environment = process.env;
  let service: Service | null = null;
  endWithin(config.shutdownTimeoutMs, signal, () => {
    const unfinished = service === null ? ['startup'] : service.unfinished();
    logger.error({ unfinished }, 'shutdown timed out');
  });
  try {
    service = await openService({
      config,
      version,
      logger,
      envFile,
      doctor: createServiceDoctor({ env: () => env, envFile, version }),
    });
    const onReload = (next: Environment) => {
      env = next;
    };
    process.on(
      'SIGHUP',
      createReload({ service, config, env: { ...process.env }, ownEnv, onReload, logger }),
    );
    await aborted(signal);
    logger.info('stopping');
    await service.close();
    return 0;
  } catch (error) {
    if (error instanceof ConfigError) return complain(error.message);
    logger.fatal(
      { env_file: envFile ?? undefined },
      error instanceof Error ? describeListenError(error) : 'could not start',
    );
    return 1;
  }
}

function complain(message: string): number {
  process.stderr.write(`${message}\n`);
  return 2;
}

function describeSource(envFile: string | null): string {
  return envFile === null
    ? 'Only the environment was read: there is no .env file in the working directory.'
    : `The environment and ${envFile} were read. The environment wins.`;
}

/** Prints the usage, for --help or for an unknown argument. Returns the exit code. */
export function refuse(args: readonly string[], usage: string): number {
  if (args.includes('--help')) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  process.stderr.write(`Unknown argument: ${args.join(' ')}\n\n${usage}\n`);
  return 2;
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Returns a message with the fix for a failure to listen. */
export function describeListenError(
  error: Error & { code?: string; port?: number; variable?: string },
): string {
  const { variable = 'PORT' } = error;
  if (error.code === 'EADDRINUSE')
    return `Port ${error.port} is in use: stop the program that uses it, or set ${variable} to another port.`;
  if (error.code === 'EACCES')
    return `Port ${error.port} needs privileges: set ${variable} to a port above 1023.`;
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND')
    return 'HOST is not an address of this machine: use 127.0.0.1, 0.0.0.0 or ::.';
  return error.message;
}
