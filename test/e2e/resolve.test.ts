import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { type Resolve, resolveHost } from '../../src/adapters/mail-server/resolve.ts';
import { postForm } from '../../src/adapters/mail-server/token-request.ts';
import { openTransport, type TransportOptions } from '../../src/adapters/smtp/transport.ts';
import type { Fault } from '../../src/core/delivery/outcome.ts';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { openSimulatorMailbox } from '../helpers/imap/mailbox.ts';
import { APP_PASSWORD } from '../helpers/service.ts';
import { startFaultySmtp } from '../helpers/smtp/faulty-smtp.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { startTokenEndpoint } from '../helpers/token-endpoint.ts';

/** Not in DNS. */
const HOST = 'mail.outtray.invalid';
const DEADLINES = {
  dnsMs: 300,
  connectMs: 5000,
  greetingMs: 5000,
  tokenMs: 5000,
  setupMs: 10_000,
  bodyMs: 10_000,
};

const known =
  (...addresses: string[]): Resolve =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }));

async function verify(
  options: Pick<TransportOptions, 'servers' | 'resolve'> & { ca?: string; password?: string },
): Promise<Fault | null> {
  const { password = APP_PASSWORD, ...rest } = options;
  const transport = openTransport({
    ...rest,
    user: 'bot@simulator.test',
    credentials: () => ({ kind: 'app_password', password }),
    ehloName: 'client.test',
    deadlines: DEADLINES,
  });
  const fault = await transport.verify();
  await transport.close();
  return fault;
}

describe.concurrent('host of a server', () => {
  test('is resolved as the system does, not only by DNS, and must be in the certificate', async () => {
    await using named = await startFaultySmtp(() => null, createCertificate([HOST]));
    await using other = await startFaultySmtp(() => null, createCertificate(['elsewhere.test']));
    const resolve = known('127.0.0.1');
    const at = ({ port, ca }: typeof named) => ({
      servers: [{ host: HOST, port, tls: 'starttls' as const }],
      ca,
      resolve,
    });
    expect(await verify(at(named))).toBeNull();
    expect(await verify(at(other))).toMatchObject({ error: { code: 'tls_failed' } });
  });

  test('must be in the certificate on an implicit TLS port, too', async () => {
    await using gmail = await startSimulator();
    const at = (host: string) => ({
      servers: [{ host, port: gmail.tlsPort, tls: 'implicit' as const }],
      ca: gmail.ca,
      resolve: known('127.0.0.1'),
    });
    expect(await verify({ ...at('localhost'), password: gmail.password })).toBeNull();
    expect(await verify(at(HOST))).toMatchObject({ error: { code: 'tls_failed' } });
  });

  test.each([
    ['one refuses', ['127.0.0.2', '127.0.0.1']],
    ['there is no IPv6 route', ['2001:db8::1', '127.0.0.1']],
    ['several are unreachable', ['2001:db8::1', '127.0.0.2', '2001:db8::2', '127.0.0.1']],
  ])('with several addresses is reached by a working one if %s', async (_, addresses) => {
    await using gmail = await startFaultySmtp(() => null, createCertificate([HOST]));
    const servers = [{ host: HOST, port: gmail.port, tls: 'starttls' as const }];
    expect(await verify({ servers, ca: gmail.ca, resolve: known(...addresses) })).toBeNull();
  });

  test('without a DNS response fails with dns_failed at our deadline, and the next server is used', async () => {
    await using second = await startFaultySmtp(() => null);
    const first = { host: HOST, port: 587, tls: 'starttls' as const };
    const resolve: Resolve = (host) => (host === HOST ? new Promise(() => {}) : resolveHost(host));
    const fault = await verify({ servers: [first], resolve });
    expect(fault).toMatchObject({
      error: { code: 'dns_failed' },
      scope: 'connection',
      retryable: true,
      certain: true,
    });
    expect(fault?.error.detail).toContain(`no response for ${HOST} within 0.3 s`);
    const both = [first, { host: 'localhost', port: second.port, tls: 'starttls' as const }];
    expect(await verify({ servers: both, ca: second.ca, resolve })).toBeNull();
  });

  test('that does not exist fails with dns_failed', async () => {
    const fault = await verify({ servers: [{ host: HOST, port: 587, tls: 'starttls' }] });
    expect(fault).toMatchObject({ error: { code: 'dns_failed' }, scope: 'connection' });
  });
});

/** Returns the results, and the maximum number of lookups at once meanwhile. */
async function countLookups<Result>(running: readonly Promise<Result>[]) {
  let most = 0;
  let isDone = false;
  const results = Promise.all(running).finally(() => {
    isDone = true;
  });
  while (!isDone) {
    const lookups = process.getActiveResourcesInfo().filter((name) => name === 'GetAddrInfoReqWrap');
    most = Math.max(most, lookups.length);
    await nextTurn();
  }
  return { results: await results, most };
}

describe('a lookup that hangs leaves threads to SMTP, since it is shared by', () => {
  test('the mailboxes of all accounts', async () => {
    await using gmail = await startSimulator();
    await using stack = new AsyncDisposableStack();
    const mailboxes = Array.from({ length: 8 }, () => stack.use(openSimulatorMailbox(gmail)));
    const { results, most } = await countLookups(mailboxes.map(({ findSent }) => findSent('<1@acme.test>')));
    expect(results).toEqual(Array(8).fill({ kind: 'absent' }));
    expect(most).toBeLessThanOrEqual(1);
  });

  test('the token requests of all accounts', async () => {
    await using issuer = await startTokenEndpoint({ access_token: 'a-token' });
    const url = issuer.url.replace('127.0.0.1', 'localhost');
    const requests = Array.from({ length: 8 }, () => postForm(url, {}, 5000));
    const { results, most } = await countLookups(requests);
    expect(results.map(String)).toEqual(Array(8).fill('{"access_token":"a-token"}'));
    expect(most).toBeLessThanOrEqual(1);
  });
});

test('concurrent lookups of a host share one request', async () => {
  const first = resolveHost('localhost');
  expect(resolveHost('localhost')).toBe(first);
  expect((await first).map(({ address }) => address)).toContain('127.0.0.1');
  expect(resolveHost('localhost')).not.toBe(first);
});
