import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import PostalMime from 'postal-mime';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Endpoint, type Heard, startEndpoint } from '../helpers/endpoint.ts';
import { type Running, run } from '../helpers/process.ts';

const REPO = new URL('../../', import.meta.url).pathname;
const CRM_SECRET = 'what-the-crm-knows';
const WEBHOOK_SECRET = `whsec_${Buffer.alloc(32, 'outtray').toString('base64')}`;
const START_TIMEOUT_MS = 30_000;
/** Ends a hanging example before its test times out. */
const EXAMPLE_TIMEOUT_MS = 15_000;

let demo: Running;
let url: string;
let key: string;
/** URL of the messages that the simulator accepted. */
let mailbox: string;
/** Forwards from the demo to the CRM example: each needs the address of the other at startup. */
let between: Endpoint;
let crm: Awaited<ReturnType<typeof startCrm>>;
const crmUrl = Promise.withResolvers<string>();

beforeAll(async () => {
  between = await startEndpoint({
    answer: (response, { path, headers, body }) =>
      post(path, body, signatureOf(headers)).then(
        ({ status }) => response.writeHead(status).end(),
        () => response.destroy(),
      ),
  });
  demo = run(['demo'], {
    PORT: '0',
    TEMPLATES_DIR: `${REPO}examples/templates`,
    WEBHOOK_URL: `http://127.0.0.1:${between.port}/outtray-events`,
    WEBHOOK_SECRET,
    WEBHOOK_ALLOWED_HOSTS: '127.0.0.1',
  });
  [, url = ''] = await demo.saw(/is running at (\S+),/);
  [, key = ''] = await demo.saw(/API key: (\S+)/);
  crm = await startCrm({ PORT: '0', OUTTRAY_URL: url, OUTTRAY_KEY: key, CRM_SECRET, WEBHOOK_SECRET });
  crmUrl.resolve(crm.url);
  [, mailbox = ''] = await demo.saw(/Messages received by the simulator.*: (http\S+)/);
}, START_TIMEOUT_MS);

afterAll(async () => {
  for (const part of [demo, between, crm]) await part?.[Symbol.asyncDispose]();
});

test('examples/README.md lists every example', async () => {
  const listed = await readFile(`${REPO}examples/README.md`, 'utf8');
  const examples = (await readdir(`${REPO}examples`)).filter((name) => name !== 'README.md');
  expect(examples.filter((name) => !listed.includes(`](${name})`))).toEqual([]);
});

test('the demo prints the address its events go to', async () => {
  await demo.saw(new RegExp(`Events go to http://127.0.0.1:${between.port}/outtray-events`));
});

describe.each([
  { file: 'send.sh', program: 'sh', needs: 'curl', subject: 'Hello', text: 'Sent with curl.' },
  { file: 'send.mjs', program: process.execPath, subject: 'Hello', text: 'Sent with fetch.' },
  {
    file: 'send.py',
    program: 'python3',
    subject: 'Your report',
    text: 'Attached.',
    attachments: [{ filename: 'report.csv' }],
  },
  { file: 'send.php', program: 'php', subject: 'Invoice 42', text: 'Sent with PHP.' },
  { file: 'resend.mjs', program: process.execPath, subject: 'Hello', text: 'Sent with the Resend SDK.' },
])('examples/$file', ({ file, program, needs = program, subject, text, attachments = [] }) => {
  // With CI=true the tests run without the program, and fail.
  beforeEach(({ skip }) =>
    skip(!process.env.CI && spawnSync(needs, ['--version']).status !== 0, `${needs} is not installed`),
  );

  const send = (to: string) =>
    runProgram(program, [`examples/${file}`, to], {
      OUTTRAY_URL: url,
      OUTTRAY_KEY: key,
      RESEND_BASE_URL: url,
      RESEND_API_KEY: key,
    });

  test('sends one message and prints its id', async () => {
    const to = `${file}@example.com`;
    const { code, out, err } = await send(to);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    await crm.saw(`${/msg_\w+/.exec(out)?.[0]} is sent`);
    expect(await mailTo(to)).toMatchObject([{ subject, text: expect.stringContaining(text), attachments }]);
  });

  test('exits with the code and hint of an error', async () => {
    const { code, out, err } = await send('nobody');
    expect(code).toBeGreaterThan(0);
    expect(out + err).toContain('validation_failed');
    expect(out + err).toContain('Fix every field listed in `errors`');
  });
});

describe('examples/crm-webhook.mjs', () => {
  const INVOICE = { number: 42, items: [{ quantity: 2, name: 'Tea', price: '8.40' }], total: '8.40' };
  const invoiceFor = (email: string, eventId: string, invoice: object = INVOICE) => ({
    event_id: eventId,
    type: 'invoice.created',
    contact: { name: 'Ada', email },
    invoice,
  });

  test('mails an invoice from the template and receives its message.sent event', async () => {
    const answer = await tellCrm(invoiceFor('invoice@example.com', 'evt-sent'));
    expect(answer.status).toBe(202);
    const { message_id } = (await answer.json()) as { message_id: string };
    await crm.saw(`invoice 42: ${message_id} is sent`);
    const [mail] = await mailTo('invoice@example.com');
    expect(mail).toMatchObject({
      subject: 'Invoice 42 from Acme',
      to: [{ name: 'Ada', address: 'invoice@example.com' }],
    });
    expect(mail?.text).toContain('2 x Tea: 8.40');
    expect(mail?.html).toContain('Hello Ada,');
    expect(await accepted('invoice@example.com')).toMatchObject([
      { tags: { flow: 'invoice' }, metadata: { crm_id: '42' } },
    ]);
  });

  test('sends one message when the CRM repeats an event, also concurrently', async () => {
    const event = invoiceFor('repeated@example.com', 'evt-repeated');
    await Promise.all([tellCrm(event), tellCrm(event), tellCrm(event)]);
    const responses = [await tellCrm(event), await tellCrm(event)];
    expect(responses.map(({ status }) => status)).toEqual([202, 202]);
    const [first, second] = (await Promise.all(responses.map((answer) => answer.json()))) as {
      message_id: string;
    }[];
    expect(second).toEqual(first);
    await crm.saw(`${first?.message_id} is sent`);
    expect(await accepted('repeated@example.com')).toHaveLength(1);
    expect(await mailTo('repeated@example.com')).toHaveLength(1);
  });

  test('receives the failure of an undeliverable invoice, with its hint', async () => {
    const answer = await tellCrm(invoiceFor('no-such-user@simulator.test', 'evt-refused'));
    expect(answer.status).toBe(202);
    await crm.saw('is failed: recipients_rejected: Check the addresses');
  });

  test('returns 422 with the hint to the CRM for an event that can never be sent', async () => {
    const answer = await tellCrm(invoiceFor('incomplete@example.com', 'evt-incomplete', { number: 43 }));
    expect(answer.status).toBe(422);
    expect(await answer.json()).toMatchObject({
      code: 'template_failed',
      hint: expect.stringContaining('Give every variable'),
      errors: expect.arrayContaining([expect.objectContaining({ pointer: '/template/variables/total' })]),
    });
    expect((await tellCrm({ type: 'invoice.created' })).status).toBe(422);
    expect((await tellCrm('not an event')).status).toBe(400);
  });

  test('ignores events of other types', async () => {
    expect(
      (await tellCrm({ ...invoiceFor('other@example.com', 'evt-other'), type: 'contact.created' })).status,
    ).toBe(204);
    expect(await accepted('other@example.com')).toEqual([]);
  });

  test.each([
    ['is unreachable', { OUTTRAY_URL: 'http://127.0.0.1:1' }],
    ['refuses the API key', { OUTTRAY_KEY: 'not-a-key' }],
  ])('returns 503 so that the CRM retries while Outtray %s', async (_why, env) => {
    await using lost = await startCrm({
      PORT: '0',
      OUTTRAY_URL: url,
      OUTTRAY_KEY: key,
      CRM_SECRET,
      WEBHOOK_SECRET,
      ...env,
    });
    const answer = await tellCrm(invoiceFor('later@example.com', 'evt-later'), CRM_SECRET, lost.url);
    expect(answer.status).toBe(503);
    expect(await accepted('later@example.com')).toEqual([]);
  });

  test('refuses a request without the secret of the CRM', async () => {
    const event = invoiceFor('stranger@example.com', 'evt-stranger');
    for (const secret of ['wrong', '', `${CRM_SECRET}x`])
      expect((await tellCrm(event, secret)).status).toBe(401);
    expect(await accepted('stranger@example.com')).toEqual([]);
  });

  test('refuses a webhook with a missing signature or one for another body', async () => {
    await tellCrm(invoiceFor('signed@example.com', 'evt-signed', { ...INVOICE, number: 44 }));
    const [id = ''] = /msg_\w+/.exec(await crm.saw('invoice 44: .* is sent')) ?? [];
    const { body, headers } = heard((call) => call.body.includes(id) && call.body.includes('message.sent'));
    const signature = signatureOf(headers);
    const call = async (patch: Record<string, string> = {}, said = body) =>
      (await post('/outtray-events', said, { ...signature, ...patch })).status;
    expect(await call()).toBe(204);
    expect(await call({}, body.replace('"sent"', '"lost"'))).toBe(401);
    expect(await call({ 'webhook-id': 'evt_other' })).toBe(401);
    expect(await call({ 'webhook-signature': `v1,${Buffer.alloc(32).toString('base64')}` })).toBe(401);
    expect(await call({ 'webhook-signature': '' })).toBe(401);
    expect(await call({ 'webhook-signature': `v1,AAAA ${signature['webhook-signature']}` })).toBe(204);
    expect((await post('/outtray-events', body, {})).status).toBe(401);
  });

  test('refuses a webhook whose timestamp is minutes in the past or future', async () => {
    const account = { type: 'account.resumed', data: { user: 'clock@acme.com' } };
    expect((await tellAsOuttray(account, -240)).status).toBe(204);
    expect((await tellAsOuttray(account, -360)).status).toBe(401);
    expect((await tellAsOuttray(account, 360)).status).toBe(401);
  });

  test('orders events by sequence and not by arrival, and receives account events', async () => {
    const data = { id: 'msg_order', metadata: {}, error: null };
    await tellAsOuttray({ type: 'message.sent', sequence: 5, data: { ...data, status: 'sent' } });
    await tellAsOuttray({ type: 'message.deferred', sequence: 4, data: { ...data, status: 'deferred' } });
    await tellAsOuttray({ type: 'message.sent', sequence: 5, data: { ...data, status: 'sent' } });
    await tellAsOuttray({
      type: 'account.paused',
      data: { user: 'bot@acme.com', code: 'bad_credentials', hint: 'Make a new one.' },
    });
    await crm.saw('account.paused: bot@acme.com: bad_credentials: Make a new one.');
    expect(crm.said.filter((line) => line.includes('msg_order'))).toEqual(['no invoice: msg_order is sent']);
  });

  test.each(['OUTTRAY_KEY', 'CRM_SECRET', 'WEBHOOK_SECRET'])('does not start without %s', async (name) => {
    const env = { PORT: '0', OUTTRAY_KEY: key, CRM_SECRET, WEBHOOK_SECRET, [name]: '' };
    const { code, err } = await runProgram(process.execPath, ['examples/crm-webhook.mjs'], env);
    expect({ code, err }).toEqual({ code: 2, err: `${name} is not set.\n` });
  });
});

/** Runs a program in the repository, as the first lines of the example describe. */
function runProgram(program: string, args: string[], env: Record<string, string>) {
  return new Promise<{ code: number; out: string; err: string }>((resolve) => {
    execFile(
      program,
      args,
      { cwd: REPO, env: { PATH: process.env.PATH, ...env }, timeout: EXAMPLE_TIMEOUT_MS },
      (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
  });
}

async function startCrm(env: Record<string, string>) {
  const child: ChildProcess = spawn(process.execPath, ['examples/crm-webhook.mjs'], {
    cwd: REPO,
    env,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const said: string[] = [];
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
    said.push(line),
  );
  const ended = once(lines, 'close').then(() => Promise.reject(new Error(`it ended: ${said.join('\n')}`)));
  ended.catch(() => {});
  /** Resolves with the first line that matches. */
  async function saw(pattern: string): Promise<string> {
    for (;;) {
      const line = said.find((each) => new RegExp(pattern).test(each));
      if (line !== undefined) return line;
      await Promise.race([once(lines, 'line'), ended]);
    }
  }
  const [address = ''] = (await saw('takes events')).split(' ');
  return {
    url: address,
    said: said as readonly string[],
    saw,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended.catch(() => {});
    },
  };
}

async function tellCrm(event: unknown, secret = CRM_SECRET, at = crm.url): Promise<Response> {
  const body = typeof event === 'string' ? event : JSON.stringify(event);
  return fetch(`${at}/crm-events`, { method: 'POST', headers: { authorization: `Bearer ${secret}` }, body });
}

/** Sends an event signed by the public package, with a timestamp `inSeconds` from now. */
function tellAsOuttray(event: unknown, inSeconds = 0): Promise<Response> {
  const body = JSON.stringify(event);
  const at = new Date(Date.now() + inSeconds * 1000);
  return post('/outtray-events', body, {
    'webhook-id': 'evt_1',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(WEBHOOK_SECRET).sign('evt_1', at, body),
  });
}

/** Posts to the CRM example once it has started. */
async function post(path: string, body: string, headers: Record<string, string>): Promise<Response> {
  return fetch(`${await crmUrl.promise}${path}`, { method: 'POST', headers, body });
}

function signatureOf(headers: Heard['headers']): Record<string, string> {
  const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature'] as const;
  return Object.fromEntries(names.map((name) => [name, String(headers[name])]));
}

function heard(matches: (call: Heard) => boolean): Heard {
  const call = between.heard.find(matches);
  if (!call) throw new Error('no such call from Outtray');
  return call;
}

/** Returns the messages to this address that Outtray accepted. */
async function accepted(address: string): Promise<unknown[]> {
  const response = await fetch(`${url}/messages?to=${address}`, {
    headers: { authorization: `Bearer ${key}` },
  });
  return ((await response.json()) as { messages: unknown[] }).messages;
}

/** Returns the mails that the simulator accepted for this address. */
async function mailTo(address: string) {
  const { messages } = (await (await fetch(mailbox)).json()) as {
    messages: { id: string; recipients: string[] }[];
  };
  const ids = messages.filter(({ recipients }) => recipients.includes(address)).map(({ id }) => id);
  return Promise.all(
    ids.map(async (id) => PostalMime.parse(await (await fetch(`${mailbox}/${id}/raw`)).text())),
  );
}
