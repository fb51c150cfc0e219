import { connect } from 'node:net';
import { EnvFileError, loadEnvFile } from '../config/env-file.ts';
import { readSetting } from '../config/environment.ts';

const USAGE =
  'Usage: outtray healthcheck\n\nExits 0 if GET /readyz of the service on HOST and PORT returns 200.\n';
const TIMEOUT_MS = 4000;
const RESPONSE = /^HTTP\/1\.1 (\d{3}) .*?\r\n\r\n(.*)$/s;

/** Checks whether the service on HOST and PORT is ready. Loads little: it runs every few seconds. */
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
  const port = read('PORT') ?? '3000';
  try {
    const { status, body } = await getReadiness(reachable, port);
    if (status === '200') return 0;
    process.stderr.write(`not ready: ${body}\n`);
  } catch (error) {
    const authority = `${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
    process.stderr.write(`not reachable at ${authority}: ${describe(error)}\n`);
  }
  return 1;
}

/**
 * Requests /readyz. Uses a plain socket: loading `node:http` would take as long as all the rest.
 *
 * @throws {Error} If there is no response within {@link TIMEOUT_MS}.
 */
async function getReadiness(host: string, port: string): Promise<{ status: string; body: string }> {
  const socket = connect({ host, port: Number(port) });
  const timer = setTimeout(() => socket.destroy(new Error('no response in time')), TIMEOUT_MS);
  socket.write(`GET /readyz HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  try {
    let response = '';
    for await (const chunk of socket.setEncoding('utf8')) response += chunk;
    const [, status, body] = RESPONSE.exec(response) ?? [];
    if (status === undefined || body === undefined) throw new Error('no HTTP response');
    return { status, body };
  } finally {
    clearTimeout(timer);
  }
}

/** The error of a host name with several addresses has a code, but no message. */
function describe(error: unknown): string {
  return error instanceof Error
    ? error.message || (error as NodeJS.ErrnoException).code || error.name
    : String(error);
}
