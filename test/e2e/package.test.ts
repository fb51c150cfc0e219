import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { installInto, makePackages, typeCheck } from '../helpers/packages.ts';
import { API_KEY, startService } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const exec = promisify(execFile);

const REPO = new URL('../../', import.meta.url).pathname;
const INSTALL_TIMEOUT_MS = 300_000;

const USER = `
import { createOuttrayClient, type ErrorCode, type Message, type SendRequest } from 'outtray/client';

const outtray = createOuttrayClient({ baseUrl: 'http://127.0.0.1:3000', apiKey: 'secret', fetch });
const hello: SendRequest = { to: ['ada@example.com', { email: 'bob@example.com', name: 'Bob' }], subject: 'Hello', text: 'Hello.' };

export async function send(): Promise<Message | ErrorCode | null> {
  const { data, error } = await outtray.POST('/send', { params: { header: { Prefer: 'wait=10' } }, body: hello });
  if (error) return error.code;
  return 'durability' in data ? data : null;
}

// @ts-expect-error: the field is "to".
export const misspelt = () => outtray.POST('/send', { body: { recipient: 'ada@example.com', subject: 'Hello', text: 'Hello.' } });
// @ts-expect-error: there is no such path.
export const lost = () => outtray.GET('/message/{id}', { params: { path: { id: 'msg_1' } } });
// @ts-expect-error: a code is one of the table's.
export const code: ErrorCode = 'no_such_code';
`;

let workshop: string;
/** A folder in which only the package is installed. */
let home: string;
let installed = false;

beforeAll(async () => {
  workshop = await mkdtemp(join(tmpdir(), 'outtray-package-'));
  home = join(workshop, 'home');
  const { service } = await makePackages(join(workshop, 'copy'));
  installed = await installInto(home, [service]);
}, INSTALL_TIMEOUT_MS);

afterAll(() => rm(workshop, { recursive: true }));

beforeEach(({ skip }) =>
  skip(!installed, 'the npm registry cannot be reached, and the package needs its dependencies'),
);

test('the package contains the program, the typed client, openapi.yaml and the docs, but no sources, tests or secrets', async () => {
  const files = await readdir(join(home, 'node_modules/outtray'), { recursive: true });
  expect(files).toEqual(
    expect.arrayContaining([
      'README.md',
      'LICENSE',
      'openapi.yaml',
      'docs/reference/configuration.md',
      'dist/main.js',
      'dist/ui/index.html',
      'dist/ui/lit-html/lit-html.js',
      'dist/client/client.js',
    ]),
  );
  expect(files.filter((file) => /\.ts$/.test(file)).sort()).toEqual([
    'dist/client/client.d.ts',
    'dist/client/messages.d.ts',
    'dist/client/schema.d.ts',
    'dist/client/webhook.d.ts',
  ]);
  expect(files.filter((file) => /^(src|test|bench)\b/.test(file))).toEqual([]);
  expect(files.filter((file) => /(^|\/)(secrets|\.env)(\/|$)/.test(file))).toEqual([]);
});

test('the package brings only what the client imports: the program contains its dependencies', async () => {
  const folders = await readdir(join(home, 'node_modules'));
  expect(folders.filter((name) => !name.startsWith('.')).sort()).toEqual([
    'openapi-fetch',
    'openapi-typescript-helpers',
    'outtray',
  ]);
});

test('npx outtray demo --once sends its sample and exits 0', async () => {
  const { stdout } = await exec('npx', ['--no-install', 'outtray', 'demo', '--once'], {
    cwd: home,
    env: { PATH: `${dirname(process.execPath)}:${process.env.PATH}`, PORT: '0' },
  });
  expect(stdout).toMatch(/^ {2}sent: 250 2\.0\.0 /m);
});

test('a JavaScript program sends with outtray/client and reads the outcome', async () => {
  await using gmail = await startSimulator();
  await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
  await copyFile(join(REPO, 'examples/client.mjs'), join(home, 'client.mjs'));
  const { stdout } = await exec(process.execPath, ['client.mjs', 'ada@example.com'], {
    cwd: home,
    env: { OUTTRAY_URL: service.url, OUTTRAY_KEY: API_KEY },
  });
  expect(stdout).toMatch(/^msg_\w+ is sent$/m);
  expect(gmail.messages).toHaveLength(1);
});

test.each([
  ['tsc', 'nodenext'],
  ['tsc', 'esnext'],
  ['tsc6', 'nodenext'],
])('a TypeScript program type-checks against the API with %s and --module %s', async (compiler, module) => {
  await writeFile(join(home, 'user.mts'), USER);
  await typeCheck(home, 'user.mts', compiler, module);
});

test('the package names its repository, and can be published', async () => {
  const installedAs = JSON.parse(await readFile(join(home, 'node_modules/outtray/package.json'), 'utf8'));
  expect(installedAs).toMatchObject({
    license: 'MIT',
    keywords: expect.arrayContaining(['gmail']),
    repository: { type: 'git', url: 'git+https://git.example.com/acme/outtray.git' },
  });
  expect(installedAs).not.toHaveProperty('private');
});
