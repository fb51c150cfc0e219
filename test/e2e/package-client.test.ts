import { execFile } from 'node:child_process';
import { lstat, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { signatureHeaders } from '../../src/adapters/webhook/signature.ts';
import { parseWebhookSecrets } from '../../src/config/webhook-config.ts';
import { installInto, makePackages, typeCheck } from '../helpers/packages.ts';
import { API_KEY, startService } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const exec = promisify(execFile);

const REPO = new URL('../../', import.meta.url).pathname;
const INSTALL_TIMEOUT_MS = 300_000;
const MAX_INSTALLED_BYTES = 1024 * 1024;
/** The npm packages that contain nothing but the program of Node. */
const NODE_20 = `node-${process.platform}-${process.arch}@20`;
const SECRET = `whsec_${Buffer.alloc(32, 'outtray').toString('base64')}`;

const PROGRAM = `
import { createOuttrayClient, verifyWebhook } from 'outtray-client';
const { OUTTRAY_URL: baseUrl, OUTTRAY_KEY: apiKey, CALL } = process.env;
const outtray = createOuttrayClient({ baseUrl, apiKey });
const { data } = await outtray.send({ to: 'ada@example.com', subject: 'Hello', text: 'Hello.' });
const { data: { status } } = await outtray.wait(data.id);
const { type } = await verifyWebhook(JSON.parse(CALL));
console.log(JSON.stringify({ node: process.versions.node.split('.')[0], status, type }));
`;

const TYPED = `
import { createOuttrayClient, type SendRequest, verifyWebhook } from 'outtray-client';

const outtray = createOuttrayClient({ baseUrl: 'http://127.0.0.1:3000', apiKey: 'secret' });
const hello: SendRequest = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };

export async function send(): Promise<string> {
  const { data, error } = await outtray.send(hello, { wait: 10 });
  if (error) throw new Error(error.code);
  const reply: number | undefined = data.recipients[0]?.smtp?.code;
  return \`\${data.id} \${reply}\`;
}
export async function sendOnce(): Promise<string> {
  const { data, error } = await outtray.send(hello, { idempotencyKey: 'invoice-42' });
  if (error) throw new Error(error.hint);
  // @ts-expect-error: a message that is no longer stored has no recipients.
  data.recipients.length;
  return data.id;
}
export async function receive(request: Request): Promise<string> {
  const event = await verifyWebhook({ body: await request.text(), headers: request.headers, secret: 'whsec_x' });
  switch (event.type) {
    case 'account.paused': return event.data.user;
    case 'message.failed': return event.data.error?.code ?? event.data.id;
    case 'webhook.test': return 'test';
    // @ts-expect-error: no such event.
    case 'message.lost': return '';
    default: return event.timestamp;
  }
}
// @ts-expect-error: a dry run has no id.
export const dryRun = () => outtray.send({ to: 'ada@example.com', subject: 'Hello', text: 'Hello.', dry_run: true });
`;

let workshop: string;
let home: string;
let installed = false;

beforeAll(async () => {
  workshop = await mkdtemp(join(tmpdir(), 'outtray-client-package-'));
  home = join(workshop, 'home');
  const { client } = await makePackages(join(workshop, 'copy'));
  installed = (await installInto(home, [client])) && (await installInto(join(workshop, 'node'), [NODE_20]));
}, INSTALL_TIMEOUT_MS);

afterAll(() => rm(workshop, { recursive: true }));

beforeEach(({ skip }) =>
  skip(!installed, 'the npm registry cannot be reached, and the package needs its dependencies'),
);

test('on Node 20, a program sends, waits for the outcome and verifies a webhook', async () => {
  await using gmail = await startSimulator();
  await using service = await startService({ smtp: gmail.url, ca: gmail.ca });
  const body = JSON.stringify({ type: 'message.sent', data: {} });
  const headers = signatureHeaders({ id: 'evt_1', sentAt: Date.now(), body }, parseWebhookSecrets(SECRET));
  await writeFile(join(home, 'program.mjs'), PROGRAM);
  const node = join(workshop, 'node/node_modules', NODE_20.replace('@20', ''), 'bin/node');
  const { stdout } = await exec(node, ['program.mjs'], {
    cwd: home,
    env: {
      OUTTRAY_URL: service.url,
      OUTTRAY_KEY: API_KEY,
      CALL: JSON.stringify({ body, headers, secret: SECRET }),
    },
  });
  expect(JSON.parse(stdout)).toEqual({ node: '20', status: 'sent', type: 'message.sent' });
});

test('it depends on openapi-fetch alone, and takes less than 1 MB', async () => {
  const { dependencies, repository, version, ...rest } = await readPackage(
    join(home, 'node_modules/outtray-client'),
  );
  const root = await readPackage(REPO);
  expect(dependencies).toEqual({ 'openapi-fetch': root.dependencies['openapi-fetch'] });
  expect(version).toBe(root.version);
  expect(repository).toMatchObject({
    url: 'git+https://git.example.com/acme/outtray.git',
    directory: 'src/client',
  });
  expect(rest).not.toHaveProperty('private');
  const sizes = (await readdir(join(home, 'node_modules'), { recursive: true })).map(async (file) => {
    const { blocks } = await lstat(join(home, 'node_modules', file));
    return blocks * 512;
  });
  const bytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  expect(bytes).toBeLessThan(MAX_INSTALLED_BYTES);
});

test('it contains its README and the license of the repository, but no sources', async () => {
  const folder = join(home, 'node_modules/outtray-client');
  const files = await readdir(folder, { recursive: true });
  expect(files).toEqual(expect.arrayContaining(['README.md', 'dist/client.js', 'dist/client.d.ts']));
  expect(files.filter((file) => /(?<!\.d)\.ts$/.test(file))).toEqual([]);
  const [copy, license] = await Promise.all(
    [folder, REPO].map((at) => readFile(join(at, 'LICENSE'), 'utf8')),
  );
  expect(copy).toBe(license);
});

test.each([
  ['tsc', 'nodenext'],
  ['tsc', 'esnext'],
  ['tsc6', 'nodenext'],
])(
  'a program uses send() and verifyWebhook() without narrowing, with %s and --module %s',
  async (compiler, module) => {
    await writeFile(join(home, 'typed.mts'), TYPED);
    await typeCheck(home, 'typed.mts', compiler, module);
  },
);

async function readPackage(folder: string) {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
}
