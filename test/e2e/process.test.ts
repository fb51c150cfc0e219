import { execFile, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { run, serveAgainst } from '../helpers/process.ts';
import { API_KEY } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { makeTemplatesDir } from '../helpers/templates.ts';

const KEYS = { API_KEYS: `crm:${API_KEY}` };
const HEADERS = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' };
const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };

const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${url}/send`, { method: 'POST', headers: { ...HEADERS, ...headers }, body: JSON.stringify(body) });

test('the tests run on the Node that package.json installs', async () => {
  const { devDependencies } = JSON.parse(
    await readFile(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  expect(process.version).toMatch(new RegExp(`^v${/\d+/.exec(devDependencies.node)?.[0]}\\.`));
});

describe.concurrent('outtray serve', () => {
  test('exits with code 2 on invalid configuration and names every variable in one error', async () => {
    await using service = run(['serve'], {
      GMAIL_USER: 'ada',
      TRUST_PROXY: 'true',
      SMTP_URL: 'smtp://u:secret-in-url@relay.test?tls=never',
    });
    expect(await service.ended).toBe(2);
    const { out, err } = service.output();
    for (const variable of ['API_KEYS', 'GMAIL_USER', 'GMAIL_APP_PASSWORD', 'TRUST_PROXY', 'SMTP_URL'])
      expect(err).toContain(variable);
    expect(out + err).not.toContain('secret-in-url');
  });

  test('exits with one log line when its port is in use', async () => {
    await using gmail = await startSimulator();
    await using first = await serveAgainst(gmail, KEYS);
    await using second = run(['serve'], {
      ...KEYS,
      GMAIL_USER: gmail.user,
      GMAIL_APP_PASSWORD: gmail.password,
      PORT: new URL(first.url).port,
      // The sandbox of a test key must not keep the process alive.
      API_KEYS: JSON.stringify([{ name: 'ci', secret: 'test-secret-0123456789-abcdefghi', test: true }]),
    });
    expect(await second.ended).toBe(1);
    expect(second.output().out).toMatch(/Port \d+ is in use/);
    expect(second.output().err).toBe('');
  });

  test('exits with code 1 and one log line, without the password, when Redis is down', async () => {
    await using service = run(['serve'], {
      ...KEYS,
      GMAIL_USER: 'bot@gmail.com',
      GMAIL_APP_PASSWORD: 'abcdefghijklmnop',
      QUEUE_URL: 'redis://:secret-in-url@127.0.0.1:1/2',
    });
    expect(await service.ended).toBe(1);
    const { out, err } = service.output();
    expect(JSON.parse(out)).toMatchObject({
      level: 'fatal',
      msg: expect.stringMatching(
        /^Redis at 127\.0\.0\.1:1 cannot be used: .* refused\. Start Redis, or correct .* QUEUE_URL\.$/,
      ),
    });
    expect(err).toBe('');
    expect(out).not.toContain('secret-in-url');
  });

  test('exits with code 2 on unusable templates and names the file and the fix', async () => {
    await using templates = await makeTemplatesDir({ 'welcome/body.html': '<p>{{name</p>' });
    await using service = run(['serve'], {
      ...KEYS,
      GMAIL_USER: 'bot@gmail.com',
      GMAIL_APP_PASSWORD: 'abcdefghijklmnop',
      TEMPLATES_DIR: templates.dir,
    });
    expect(await service.ended).toBe(2);
    expect(service.output().err).toMatch(/^ {2}TEMPLATES_DIR: welcome\/body\.html: a tag is not closed/m);
  });

  test('on SIGTERM finishes the running attempt, releases waiting requests, refuses new ones, logs lost messages and exits 0', async () => {
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, { ...KEYS, SMTP_CONNECTIONS: '1' });
    const waiting = post(service.url, { ...HELLO, to: 'slow+1500ms@simulator.test' }, { prefer: 'wait=30' });
    await gmail.waitFor(({ transactions }) => transactions.length > 0);
    const left = await (await post(service.url, HELLO)).json();

    service.signal('SIGTERM');
    const released = await waiting;
    expect(released.status).toBe(202);
    const refused = await post(service.url, HELLO);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: 'shutting_down', retryable: true });
    expect((await fetch(`${service.url}/readyz`)).status).toBe(503);

    expect(await service.ended).toBe(0);
    expect(gmail.messages.map(({ recipients, answered }) => [recipients[0], answered])).toEqual([
      ['slow+1500ms@simulator.test', true],
    ]);
    const lost = service
      .output()
      .out.split('\n')
      .find((line) => line.includes('"lost"'));
    expect(JSON.parse(lost ?? '{}')).toMatchObject({ level: 'warn', lost: [(left as { id: string }).id] });
  });

  test('abandons attempts that exceed SHUTDOWN_TIMEOUT and still exits 0', async () => {
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, { ...KEYS, SHUTDOWN_TIMEOUT: '1s' });
    const { id } = (await (await post(service.url, { ...HELLO, to: 'slow+60s@simulator.test' })).json()) as {
      id: string;
    };
    await gmail.waitFor(({ transactions }) => transactions.length > 0);
    const askedAt = performance.now();
    service.signal('SIGTERM');
    expect(await service.ended).toBe(0);
    expect(performance.now() - askedAt).toBeLessThan(5000);
    expect(service.output().out).toContain(`"lost":["${id}"]`);
  });

  test('exits at once on a second signal', async () => {
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, KEYS);
    await post(service.url, { ...HELLO, to: 'slow+60s@simulator.test' });
    await gmail.waitFor(({ transactions }) => transactions.length > 0);
    service.signal('SIGTERM');
    await service.saw(/"msg":"stopping"/);
    service.signal('SIGTERM');
    expect(await service.ended).toBe(143);
  });

  test('logs no secret, body or certificate when attempts and requests fail', async () => {
    await using gmail = await startSimulator({ password: 'rightrightrightr' });
    const password = 'wrongwrongwrongw';
    await using service = await serveAgainst(gmail, {
      ...KEYS,
      GMAIL_APP_PASSWORD: password,
      LOG_LEVEL: 'trace',
    });
    await using untrusting = await serveAgainst(gmail, {
      ...KEYS,
      GMAIL_APP_PASSWORD: password,
      LOG_LEVEL: 'trace',
      NODE_EXTRA_CA_CERTS: '',
    });
    const body = { ...HELLO, subject: 'subject-secret', text: 'body-secret' };
    for (const { url } of [service, untrusting]) {
      await post(url, body, { prefer: 'wait=20', 'idempotency-key': 'key-secret' });
      await post(url, { ...body, surprise: 'field-secret' });
      await fetch(`${url}/send`, { method: 'POST', headers: HEADERS, body: '{"text": "broken-secret' });
      await fetch(`${url}/messages/x`, { headers: { authorization: 'Bearer presented-secret' } });
      await fetch(`${url}/nowhere?token=query-secret`);
    }
    for (const { url } of [service, untrusting]) await fetch(`${url}/the-last-one`);
    await service.saw(/bad_credentials.*"status":404.*"status":404/s);
    await untrusting.saw(/tls_failed.*"status":404.*"status":404/s);
    const printed = [service, untrusting].map((one) => one.output().out + one.output().err).join('');
    const authPlain = Buffer.from(`\0${gmail.user}\0${password}`).toString('base64');
    for (const secret of [
      API_KEY,
      password,
      authPlain,
      Buffer.from(password).toString('base64'),
      '-secret',
      'BEGIN CERTIFICATE',
      'accounts.google.com/signin',
    ]) {
      expect(printed).not.toContain(secret);
    }
  });
});

describe.concurrent('outtray', () => {
  test.each([
    ['alone', {}],
    ['with the smallest rate limit', { RATE_LIMIT: '1/1h' }],
    [
      'with the environment of a configured service',
      { QUEUE_URL: 'sqlite:/nowhere/queue.db', LOG_LEVEL: 'silent', ON_UNCERTAIN: 'hold' },
    ],
  ])('demo --once %s sends its sample end to end, prints no address or key, and exits 0', async (_, env) => {
    await using demo = run(['demo', '--once'], { PORT: '0', ...env });
    expect(await demo.ended).toBe(0);
    const { out, err } = demo.output();
    expect(out).toMatch(/queued\n\s+sending\n\s+sent: 250 2\.0\.0 OK .* - gsmtp/);
    expect(out).not.toMatch(/https?:|curl|[0-9a-f]{48}/);
    expect(err).toBe('');
  });

  // With CI=true the test runs without curl, and fails.
  test.skipIf(!process.env.CI && spawnSync('curl', ['--version']).status !== 0)(
    'demo prints a curl line that a shell can run, which ends with a newline and shows a sent message',
    async () => {
      await using demo = run(['demo'], { PORT: '0' });
      const [line] = await demo.saw(/curl -s .*/);
      await demo.saw(/Ctrl-C/);
      const { stdout, stderr } = await promisify(execFile)('sh', ['-c', line]);
      expect(stderr).toBe('');
      expect(stdout).toMatch(/^\{.*\}\n$/);
      expect(JSON.parse(stdout)).toMatchObject({ status: 'sent' });
      demo.signal('SIGINT');
      expect(await demo.ended).toBe(0);
    },
  );

  test('healthcheck exits 0 for a ready service and 1 for a stopped one', async () => {
    await using gmail = await startSimulator();
    await using service = await serveAgainst(gmail, KEYS);
    await using healthy = run(['healthcheck'], { PORT: new URL(service.url).port });
    expect(await healthy.ended).toBe(0);
    service.signal('SIGKILL');
    await service.ended;
    await using gone = run(['healthcheck'], { PORT: new URL(service.url).port });
    expect(await gone.ended).toBe(1);
    expect(gone.output().err).toContain('not reachable');
  });

  test.each([
    [['--version'], 0, /^\d+\.\d+\.\d+\n$/],
    [['--help'], 0, /Usage: outtray/],
    [['serve', '--help'], 0, /environment variables/],
    [['demo', '--help'], 0, /--once/],
    [['simulator', '--help'], 0, /--ca-file/],
    [['healthcheck', '--help'], 0, /readyz/],
    [['openapi', '--help'], 0, /OpenAPI/],
  ])('%j exits %i', async (args, code, words) => {
    await using command = run(args);
    expect(await command.ended).toBe(code);
    expect(command.output().out).toMatch(words);
  });

  test.each([
    [['frobnicate']],
    [['serve', '--port']],
    [['demo', '--twice']],
    [['healthcheck', 'x']],
    [['openapi', '--json']],
    [['simulator', '--nope']],
  ])('%j exits 2 and names the bad argument', async (args) => {
    await using command = run(args);
    expect(await command.ended).toBe(2);
    expect(command.output().err + command.output().out).toContain(args.at(-1));
  });
});
