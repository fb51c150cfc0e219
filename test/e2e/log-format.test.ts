import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stripVTControlCharacters } from 'node:util';
import { expect, test, vi } from 'vitest';
import { API_KEY, APP_PASSWORD } from '../helpers/service.ts';
import { hasScript, SCRIPT } from '../helpers/terminal.ts';

const MAIN = new URL('../../src/main.ts', import.meta.url).pathname;

// Each test starts processes.
vi.setConfig({ testTimeout: 60_000 });

const ESCAPE = '\u001b';
const JSON_LINE = /^{"level":"info",.*"msg":"listening"}\r?$/m;
const PRETTY_LINE = /^\d\d:\d\d:\d\d\.\d{3} ● listening {2}http:\/\/127\.0\.0\.1:\d+ {2}version=\S/m;

/**
 * Runs `outtray serve` until its log has a line that contains `listening`, and returns its output.
 */
async function firstLines(env: Record<string, string>, { inTerminal }: { inTerminal: boolean }) {
  const serve = [process.execPath, MAIN, 'serve'];
  const [program = '', ...args] = inTerminal
    ? [SCRIPT, '--quiet', '--flush', '--return', '--command', `exec ${serve.join(' ')}`, '/dev/null']
    : serve;
  const child = spawn(program, args, {
    cwd: import.meta.dirname,
    env: {
      PATH: process.env.PATH,
      TERM: 'xterm-256color',
      SHELL: '/bin/sh',
      API_KEYS: `crm:${API_KEY}`,
      GMAIL_USER: 'bot@acme.com',
      GMAIL_APP_PASSWORD: APP_PASSWORD,
      PORT: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let text = '';
  for await (const chunk of child.stdout.setEncoding('utf8')) {
    text += chunk;
    if (/listening[^\n]*\n/.test(text)) break;
  }
  child.kill('SIGTERM');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return text;
}

test.runIf(hasScript)(
  'in a terminal the log is readable and colored, without colors by NO_COLOR, and JSON if LOG_FORMAT says so (skipped without script)',
  async () => {
    const inTerminal = true;
    const [auto, plain, json] = await Promise.all([
      firstLines({}, { inTerminal }),
      firstLines({ NO_COLOR: '1' }, { inTerminal }),
      firstLines({ LOG_FORMAT: 'json' }, { inTerminal }),
    ]);
    expect(auto).toContain(`${ESCAPE}[32m●`);
    expect(stripVTControlCharacters(auto)).toMatch(PRETTY_LINE);
    expect(plain).not.toContain(ESCAPE);
    expect(plain).toMatch(PRETTY_LINE);
    expect(json).toMatch(JSON_LINE);
  },
);

test('elsewhere the log is JSON, readable if LOG_FORMAT says so, and colored by FORCE_COLOR', async () => {
  const inTerminal = false;
  const [auto, plain, colored] = await Promise.all([
    firstLines({}, { inTerminal }),
    firstLines({ LOG_FORMAT: 'pretty' }, { inTerminal }),
    firstLines({ LOG_FORMAT: 'pretty', FORCE_COLOR: '1' }, { inTerminal }),
  ]);
  expect(auto).toMatch(JSON_LINE);
  expect(plain).toMatch(PRETTY_LINE);
  expect(colored).toContain(`${ESCAPE}[32m●`);
});
