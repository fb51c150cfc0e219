import { execFile } from 'node:child_process';
import { cp, mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const REPO = new URL('../../', import.meta.url).pathname;
/** Makes Node report an old version before any code of the project runs. */
const OLD = `--import=data:text/javascript,${encodeURIComponent(
  "Object.defineProperties(process, { version: { value: 'v20.20.2' }, versions: { value: { ...process.versions, node: '20.20.2' } } })",
)}`;

function runNode(args: readonly string[], cwd = REPO): Promise<{ code: unknown; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd, env: { PATH: process.env.PATH } }, (error, out, err) =>
      resolve({ code: error ? error.code : 0, out, err }),
    );
  });
}

test.each(['src/launch.cjs', 'src/main.ts'])(
  '%s exits with code 2 on an old Node, with one line that names the fix',
  async (file) => {
    const { code, out, err } = await runNode([OLD, file, 'serve']);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^Outtray needs Node 24 or newer; this is v20\.20\.2\. .*npm ci.*\n$/);
  },
);

test('a checkout without dependencies prints how to install them', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-'));
  for (const name of ['src', 'package.json'])
    await cp(join(REPO, name), join(folder.path, name), { recursive: true });
  const { code, err } = await runNode(['src/launch.cjs', 'demo'], folder.path);
  expect({ code, err }).toEqual({
    code: 2,
    err: 'The dependencies are not installed. Run "npm ci", then try again.\n',
  });
});

test('the launcher forwards its arguments', async () => {
  const { code, out } = await runNode(['src/launch.cjs', '--version']);
  expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
});

test.each(['openapi', 'demo --once', '--help'])(
  '%s prints no stack trace when the reader of its output closes the pipe',
  async (args) => {
    const { err } = await new Promise<{ err: string }>((resolve) => {
      const command = `"${process.execPath}" src/main.ts ${args} | head -c 1`;
      execFile(
        'sh',
        ['-c', command],
        { cwd: REPO, env: { PATH: process.env.PATH, PORT: '0' } },
        (_error, _out, err) => resolve({ err }),
      );
    });
    expect(err).toBe('');
  },
);
