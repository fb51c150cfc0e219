import type { Settings } from './settings.ts';

/** How this process was started, and so how the user starts the next one. */
export type Launcher = 'npm' | 'npx' | 'outtray' | 'compose';

const COMMANDS: Readonly<Record<Launcher, { readonly start: string; readonly doctor: string }>> = {
  npm: { start: 'npm start', doctor: 'npm run doctor' },
  npx: { start: 'npx outtray', doctor: 'npx outtray doctor' },
  outtray: { start: 'outtray serve', doctor: 'outtray doctor' },
  compose: { start: 'docker compose up -d', doctor: 'docker compose run --rm sqlite doctor' },
};

export const KEY_NAME = 'default';

/**
 * Returns the commands to run next: the start, and a request that works from a shell in this
 * directory. The request reads the API key from its file.
 */
export function describeNextSteps(
  user: string,
  { HOST = '127.0.0.1', PORT = '3000' }: Settings,
  launcher: Launcher,
): string {
  const { start, doctor } = COMMANDS[launcher];
  const host = /^(0\.0\.0\.0|::|localhost)$/.test(HOST) ? '127.0.0.1' : HOST;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${PORT}`;
  const readKey =
    launcher === 'compose'
      ? '$(cut -d : -f 2 secrets/api_keys)'
      : `$(sed -n 's/^API_KEYS=${KEY_NAME}://p' .env)`;
  return [
    'Start the service:',
    '',
    `  ${start}`,
    '',
    'Send a message, from another terminal in this directory:',
    '',
    `  ${curlLine(url, readKey, user)}`,
    '',
    `If something fails: ${doctor}`,
  ].join('\n');
}

function curlLine(url: string, key: string, to: string): string {
  const body = JSON.stringify({ to, subject: 'Hello', text: 'Hello from Outtray.' }).replaceAll("'", "'\\''");
  return `curl -s ${url}/send -H "Authorization: Bearer ${key}" -H 'Content-Type: application/json' -H 'Prefer: wait=10' -w '\\n' -d '${body}'`;
}
