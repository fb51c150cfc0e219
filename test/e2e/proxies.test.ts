import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { freePort } from '../helpers/free-port.ts';
import { API_KEY, type ServiceUnderTest, startService } from '../helpers/service.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';

const FOLDER = new URL('../../examples/proxy/', import.meta.url).pathname;
const HOST = 'mail.example.com';
/** Not the address that the proxy connects from. */
const CLIENT_ADDRESS = '127.0.0.2';
const MAX_MESSAGE_BYTES = 1024 * 1024;

interface Files {
  readonly folder: string;
  readonly service: string;
  readonly port: number;
}

/** Writes the example of nginx as part of a configuration for this test. */
async function prepareNginx({ folder, service, port }: Files): Promise<string[]> {
  const { cert, key } = createCertificate([HOST]);
  await writeFile(join(folder, 'cert.pem'), cert);
  await writeFile(join(folder, 'key.pem'), key);
  const example = (await readFile(join(FOLDER, 'nginx.conf'), 'utf8'))
    .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
    .replace(/^( *ssl_certificate) .*$/m, `$1 ${folder}/cert.pem;`)
    .replace(/^( *ssl_certificate_key) .*$/m, `$1 ${folder}/key.pem;`)
    .replace('http://127.0.0.1:3000', service);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const conf = `pid ${folder}/pid; error_log stderr; events {} http { access_log off; ${paths.join(' ')}\n${example}\n}`;
  await writeFile(join(folder, 'nginx.conf'), conf);
  return ['-c', join(folder, 'nginx.conf'), '-e', 'stderr', '-g', 'daemon off;'];
}

/** Writes the example of Caddy with certificates of its own authority, which Caddy creates in the folder. */
async function prepareCaddy({ folder, service, port }: Files): Promise<string[]> {
  const example = (await readFile(join(FOLDER, 'Caddyfile'), 'utf8')).replace('127.0.0.1:3000', service);
  const options = `{\n admin off\n local_certs\n skip_install_trust\n auto_https disable_redirects\n https_port ${port}\n storage file_system ${folder}/storage\n}\n`;
  await writeFile(join(folder, 'Caddyfile'), options + example);
  return ['run', '--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile'];
}

describe.each([
  { program: 'nginx', version: '-v', prepare: prepareNginx },
  { program: 'caddy', version: 'version', prepare: prepareCaddy },
])('the example of $program', ({ program, version, prepare }) => {
  // With CI=true the tests run without the program, and fail.
  beforeEach(({ skip }) =>
    skip(!process.env.CI && spawnSync(program, [version]).status !== 0, `${program} is not installed`),
  );

  test('passes requests over TLS with the address of the client, and errors unchanged', async () => {
    await using gmail = await startSimulator();
    await using service = await startService({
      smtp: gmail.url,
      ca: gmail.ca,
      env: { TRUST_PROXY: '127.0.0.1', MAX_MESSAGE_BYTES: String(MAX_MESSAGE_BYTES) },
    });
    await using folder = await mkdtempDisposable(join(tmpdir(), 'outtray-proxy-'));
    const port = await freePort();
    const args = await prepare({ folder: folder.path, service: service.url, port });
    await using proxy = startProxy(program, args, folder.path);
    await vi.waitFor(() => request(port, 'GET', '/readyz'), { timeout: 10_000 });

    const message = { to: 'ada@example.com', subject: 'Hello', text: 'Hello.' };
    const sent = await request(port, 'POST', '/send', JSON.stringify(message));
    expect(sent, proxy.said()).toMatchObject({ status: 200, body: { status: 'sent' } });
    const large = JSON.stringify({ ...message, text: 'x'.repeat(4 * MAX_MESSAGE_BYTES) });
    expect(await request(port, 'POST', '/send', large)).toMatchObject({
      status: 413,
      body: { code: 'message_too_large' },
    });
    // Only failed requests are logged with an address.
    expect(failedRequest(service)).toMatchObject({
      code: 'message_too_large',
      client_address: CLIENT_ADDRESS,
    });
  });
});

function startProxy(program: string, args: readonly string[], home: string) {
  const child: ChildProcess = spawn(program, args, {
    env: { PATH: process.env.PATH, HOME: home },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  const ended = once(child, 'close');
  return {
    said: () => said,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** Sends a request to the proxy, with a forged address of the client. */
function request(port: number, method: string, path: string, body?: string) {
  return new Promise<{ status: number | undefined; body: Record<string, unknown> }>((resolve, reject) => {
    https
      .request({
        host: '127.0.0.1',
        localAddress: CLIENT_ADDRESS,
        servername: HOST,
        rejectUnauthorized: false,
        port,
        method,
        path,
        headers: {
          host: HOST,
          authorization: `Bearer ${API_KEY}`,
          'content-type': 'application/json',
          prefer: 'wait=10',
          'x-forwarded-for': '203.0.113.9',
        },
      })
      .on('response', async (response) => {
        resolve({ status: response.statusCode, body: JSON.parse(await text(response)) });
      })
      .on('error', reject)
      .end(body);
  });
}

function failedRequest({ logs }: ServiceUnderTest) {
  return logs.find(({ status }) => Number(status) >= 400);
}
