import { EnvFileError, loadEnvFile } from '../config/env-file.ts';
import { readSetting } from '../config/environment.ts';

const USAGE =
  'Usage: outtray healthcheck\n\nExits 0 if GET /readyz of the service on HOST and PORT returns 200.\n';
const TIMEOUT_MS = 4000;

/** Checks whether the service on HOST and PORT is ready. */
export async function healthcheck(args: string[]): Promise<number> {
  if (args.length > 0) {
    const isHelp = args.includes('--help');
    (isHelp ? process.stdout : process.stderr).write(USAGE);
    return isHelp ? 0 : 2;
  }
  try {
    loadEnvFile(process.env);
  } catch (error) {
    if (!(error instanceof EnvFileError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
  const read = (name: string) => readSetting(process.env, name, null).text;
  const host = read('HOST') ?? '127.0.0.1';
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  const authority = `${reachable.includes(':') ? `[${reachable}]` : reachable}:${read('PORT') ?? 3000}`;
  try {
    const response = await fetch(`http://${authority}/readyz`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.ok) return 0;
    process.stderr.write(`not ready: ${await response.text()}\n`);
  } catch (error) {
    process.stderr.write(
      `not reachable at ${authority}: ${error instanceof Error ? error.message : 'unknown error'}\n`,
    );
  }
  return 1;
}
