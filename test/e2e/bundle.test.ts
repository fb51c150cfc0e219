import { execFile } from 'node:child_process';
import { access, copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findWorkers } from '../../build/worker-entries.ts';
import { zip } from '../helpers/archives.ts';
import { startCollector } from '../helpers/collector.ts';
import { type Running, run, serveAgainst } from '../helpers/process.ts';
import { hasRedis, startRedis } from '../helpers/redis.ts';
import { API_KEY } from '../helpers/service.ts';
import { createSimulatorEnv } from '../helpers/smtp/simulator-env.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const REPO = new URL('../../', import.meta.url).pathname;
const KEYS = { API_KEYS: `crm:${API_KEY}` };
const HELLO = { to: 'ada@example.com', subject: 'Hello' };

/** A folder with only the files of the image: package.json and the bundle, no node_modules. */
let app: string;
let main: string;

beforeAll(async () => {
  app = await mkdtemp(join(tmpdir(), 'outtray-bundle-'));
  main = join(app, 'dist/main.js');
  const rolldown = join(REPO, 'node_modules/.bin/rolldown');
  const args = ['--config', 'build/rolldown.config.ts', '--dir', join(app, 'dist')];
  await promisify(execFile)(process.execPath, [rolldown, ...args], { cwd: REPO });
  await copyFile(join(REPO, 'package.json'), join(app, 'package.json'));
}, 60_000);

afterAll(() => rm(app, { recursive: true }));

function runBundle(args: readonly string[], env: Record<string, string> = {}): Running {
  return run(args, env, undefined, main);
}

async function post(url: string, body: object): Promise<unknown> {
  const headers = {
    authorization: `Bearer ${API_KEY}`,
    'content-type': 'application/json',
    prefer: 'wait=20',
  };
  const response = await fetch(`${url}/send`, { method: 'POST', headers, body: JSON.stringify(body) });
  return response.json();
}

describe('the bundle, without node_modules', () => {
  test('has a file for each worker thread, and the licenses of what it contains', async () => {
    const workers = Object.keys(findWorkers(join(REPO, 'src')));
    expect(workers).toEqual(expect.arrayContaining(['large-body', 'text-of-html']));
    for (const name of workers) await access(join(app, `dist/lib/${name}.js`));
    const licenses = await readFile(join(app, 'dist/THIRD-PARTY-LICENSES'), 'utf8');
    for (const name of ['fastify', 'zod', 'nodemailer', 'bullmq', '@fastify/swagger-ui', 'lit-html'])
      expect(licenses).toContain(`\n${name} `);
  });

  test('prints its version and the OpenAPI document of the source', async () => {
    await using version = runBundle(['--version']);
    expect(await version.ended).toBe(0);
    await using openapi = runBundle(['openapi']);
    expect(await openapi.ended).toBe(0);
    expect(openapi.output().out).toBe(await readFile(join(REPO, 'openapi.yaml'), 'utf8'));
  });

  test('shows what the demo received', async () => {
    await using demo = runBundle(['demo'], { PORT: '0' });
    const [, url, key] = await demo.saw(/Open (\S+)\/#key=(\w+)/);
    const response = await fetch(`${url}/demo/inbox`, { headers: { authorization: `Bearer ${key}` } });
    expect(await response.json()).toMatchObject({ messages: [{ subject: 'Hello from Outtray' }] });
  });

  test('accepts a form, whose parser is loaded by the first one', async () => {
    await using demo = runBundle(['demo'], { PORT: '0' });
    const [, url, key] = await demo.saw(/Open (\S+)\/#key=(\w+)/);
    const body = new FormData();
    body.append('message', JSON.stringify({ to: 'ada@example.com', subject: 'Hello', text: 'Hello.' }));
    body.append('attachments', new File(['file'], 'a.txt'));
    const headers = { authorization: `Bearer ${key}` };
    const response = await fetch(`${url}/send`, { method: 'POST', headers, body });
    expect(await response.json()).toMatchObject({ attachments: [{ filename: 'a.txt', size: 4 }] });
  });

  test('runs the demo, the simulator and the doctor', async () => {
    await using demo = runBundle(['demo', '--once'], { PORT: '0' });
    expect(await demo.ended).toBe(0);
    expect(demo.output().out).toMatch(/^ {2}sent: 250 2\.0\.0 /m);
    await using simulator = runBundle([
      'simulator',
      '--smtp-port',
      '0',
      '--smtps-port',
      '0',
      '--http-port',
      '0',
    ]);
    await simulator.saw(/smtps?:\/\//);
    await using gmail = await startSimulator();
    await using simulatorEnv = await createSimulatorEnv(gmail);
    await using doctor = runBundle(['doctor'], { ...KEYS, ...simulatorEnv.env });
    expect(await doctor.ended).toBe(0);
  });

  test('serves Swagger UI and the OpenAPI document', async () => {
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, KEYS, main);
    const read = async (path: string) => (await fetch(`${service.url}${path}`)).text();
    expect(await read('/docs')).toContain('<title>Outtray</title>');
    expect(await read('/docs/static/swagger-ui-bundle.js')).toContain('SwaggerUIBundle');
    expect(await read('/docs/json')).toContain('"openapi":"3.1.1"');
    expect(await read('/openapi.yaml')).toBe(await readFile(join(REPO, 'openapi.yaml'), 'utf8'));
  });

  test("serves every file of the operators' page, of the same revision as the source", async () => {
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, KEYS, main);
    await using source = await serveAgainst(gmail, KEYS);
    const page = await (await fetch(service.url)).text();
    expect(page).toBe(await (await fetch(source.url)).text());
    const files = [...page.matchAll(/"(ui\/[^"]+)"/g)].map(([, path]) => path);
    expect(files).toEqual(expect.arrayContaining([expect.stringMatching(/\/lit-html\/lit-html\.js$/)]));
    for (const path of files) expect((await fetch(`${service.url}/${path}`)).status).toBe(200);
  });

  test('reports spans to an SDK that is preloaded, which has a copy of the OpenTelemetry API of its own', async () => {
    await using collector = await startCollector();
    await using gmail = await startSimulator();
    const preload = join(REPO, 'examples/tracing/instrumentation.mjs');
    const queue = { QUEUE_URL: `sqlite:${join(app, 'traced.db')}` };
    const env = { ...KEYS, ...queue, ...collector.env, NODE_OPTIONS: `--import ${preload}` };
    await using service = await serveAgainst(gmail, env, main);
    expect(await post(service.url, { ...HELLO, text: 'Hello.' })).toMatchObject({ status: 'sent' });
    const request = await collector.span(({ name }) => name === 'POST /send');
    expect(await collector.span(({ name }) => name === 'smtp send')).toMatchObject({
      traceId: request.traceId,
      parentSpanId: request.spanId,
    });
  });

  test('sends with the queue in memory', async () => {
    await expectToSend({});
  });

  test('sends with the queue in SQLite', async () => {
    await expectToSend({ QUEUE_URL: `sqlite:${join(app, 'queue.db')}` });
  });

  test.skipIf(!hasRedis)('sends with the queue in Redis', async () => {
    await using redis = await startRedis();
    await expectToSend({ QUEUE_URL: redis.url() });
  });
});

/** Sends what needs each worker thread, and an archive. */
async function expectToSend(queue: Record<string, string>): Promise<void> {
  await using gmail = await startSimulator();
  await using service = await serveAgainst(gmail, { ...KEYS, ...queue }, main);
  const rows = '<p>row of <b>mail</b></p>'.repeat(1000);
  expect(await post(service.url, { ...HELLO, html: rows })).toMatchObject({ status: 'sent' });
  expect(await post(service.url, { ...HELLO, text: 'line\n'.repeat(60_000) })).toMatchObject({
    status: 'sent',
  });
  expect(gmail.messages).toHaveLength(2);
  const archive = zip([['bin/setup.exe', Buffer.from('MZ')]]);
  const attachments = [{ filename: 'tools.zip', content: archive.toString('base64') }];
  expect(await post(service.url, { ...HELLO, text: 'Hello.', attachments })).toMatchObject({
    code: 'attachment_blocked',
  });
  service.signal('SIGTERM');
  expect(await service.ended).toBe(0);
}
