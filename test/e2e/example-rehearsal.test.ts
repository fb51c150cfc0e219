import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { freePort } from '../helpers/free-port.ts';

const REPO = new URL('../../', import.meta.url).pathname;
const TIMEOUT_MS = 60_000;

test(
  'examples/rehearse-bounce.sh rehearses a bounce, a refusal and a lost reply',
  async ({ skip }) => {
    // With CI=true the test runs without the program, and fails.
    skip(!process.env.CI && spawnSync('curl', ['--version']).status !== 0, 'curl is not installed');
    const { stdout } = await promisify(execFile)('bash', ['examples/rehearse-bounce.sh'], {
      cwd: REPO,
      timeout: TIMEOUT_MS,
      env: {
        PATH: process.env.PATH,
        OUTTRAY: `${process.execPath} src/main.ts`,
        PORT: String(await freePort()),
      },
    });
    expect(stdout.match(/^ .*$/gm)).toEqual([
      '  "status":"sent"',
      '  "class":"hard"',
      '  "reason":"bounce"',
      '  "code":"recipient_suppressed"',
      '  "confirmed_by":"sent_mail"',
    ]);
  },
  TIMEOUT_MS,
);
