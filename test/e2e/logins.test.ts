import { describe, expect, test } from 'vitest';
import type { Credentials } from '../../src/core/accounts/credentials.ts';
import { openBlackHolePort } from '../helpers/smtp/black-hole-port.ts';
import { startFaultySmtp } from '../helpers/smtp/faulty-smtp.ts';
import { startRawSmtp } from '../helpers/smtp/raw-smtp.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { openTransportTo, refreshTokenOf } from '../helpers/smtp/transport.ts';

const SENT = { fault: null, reply: { code: 250 } };
const OLD = 'oldoldoldoldoldo';
const NEW = 'newnewnewnewnewn';

const appPassword = (password: string): Credentials => ({ kind: 'app_password', password });

describe.concurrent('app password', () => {
  test('is read at the first login, and not again while logins succeed', async () => {
    await using gmail = await startSimulator({ password: OLD });
    let reads = 0;
    const credentials = () => {
      reads += 1;
      return appPassword(OLD);
    };
    await using transport = openTransportTo(gmail, { credentials });
    expect(reads).toBe(0);
    await Promise.all([transport.send(), transport.send()]);
    expect(await transport.verify()).toBeNull();
    expect(reads).toBe(1);
  });

  test('is read again after a refused login, and connections with the old one are closed', async () => {
    await using gmail = await startSimulator({ password: OLD });
    let password = OLD;
    await using transport = openTransportTo(gmail, { credentials: () => appPassword(password) });
    await transport.send();
    gmail.setPassword(NEW);
    password = NEW;
    expect(await transport.verify()).toMatchObject({ error: { code: 'bad_credentials' }, scope: 'account' });
    expect(await transport.send()).toMatchObject(SENT);
    // The idle connection with the old login still works, but may end at any time.
    expect(gmail.counters).toMatchObject({ connections: 3, logins: 2, failedLogins: 1 });
  });

  test('leaves no connection with the old one open after a rotation', async () => {
    let refuses = false;
    await using gmail = await startFaultySmtp((stage) =>
      stage === 'auth' && refuses ? '535 5.7.8 Username and Password not accepted.' : null,
    );
    let password = OLD;
    const server = {
      ca: gmail.ca,
      user: 'bot@simulator.test',
      starttlsPort: gmail.port,
      tlsPort: gmail.port,
    };
    await using transport = openTransportTo(server, { credentials: () => appPassword(password) });
    await Promise.all([transport.send(), transport.send()]);
    refuses = true;
    await transport.verify();
    refuses = false;
    password = NEW;
    expect(await transport.send()).toMatchObject(SENT);
    await gmail.waitFor(({ closed }) => closed === 3);
    expect(gmail.log).toMatchObject({ connections: 4, closed: 3 });
  });

  test('keeps its connections after a refused login if it has not changed', async () => {
    await using gmail = await startSimulator({ password: OLD });
    await using transport = openTransportTo(gmail, { credentials: () => appPassword(OLD) });
    await transport.send();
    gmail.setLoginFault('too-many-logins');
    expect(await transport.verify()).toMatchObject({ error: { code: 'login_throttled' } });
    expect(await transport.send()).toMatchObject(SENT);
    expect(gmail.counters).toMatchObject({ connections: 2, logins: 1, failedLogins: 1 });
  });

  test('recovers from a refused login without a restart', async () => {
    await using gmail = await startSimulator({ password: NEW });
    let password = OLD;
    await using transport = openTransportTo(gmail, { credentials: () => appPassword(password) });
    expect((await transport.send()).fault?.error.code).toBe('bad_credentials');
    expect((await transport.send()).fault?.error.code).toBe('bad_credentials');
    password = NEW;
    expect(await transport.send()).toMatchObject(SENT);
  });

  test('can be replaced, which closes idle connections at once and busy ones after their message', async () => {
    let replace = () => {};
    await using gmail = await startFaultySmtp((stage) => {
      if (stage === 'dot') replace();
      return null;
    });
    const server = {
      ca: gmail.ca,
      user: 'bot@simulator.test',
      starttlsPort: gmail.port,
      tlsPort: gmail.port,
    };
    await using transport = openTransportTo(server, { credentials: () => appPassword(OLD) });
    await Promise.all([transport.send(), transport.send()]);
    expect(transport.replaceCredentials(() => appPassword(OLD))).toBe(false);
    replace = () => expect(transport.replaceCredentials(() => appPassword(NEW))).toBe(true);
    expect(await transport.send()).toMatchObject(SENT);
    await gmail.waitFor(({ closed }) => closed === 2);
    replace = () => {};
    expect(await transport.send()).toMatchObject(SENT);
    expect(gmail.log).toMatchObject({ connections: 3, logins: 3 });
  });

  test('can be replaced by OAuth while the service runs', async () => {
    await using gmail = await startSimulator();
    let credentials = appPassword(OLD);
    await using transport = openTransportTo(gmail, { credentials: () => credentials });
    await transport.send();
    credentials = refreshTokenOf(gmail);
    expect(await transport.send()).toMatchObject(SENT);
  });
});

describe.concurrent('verify', () => {
  const good = { credentials: () => appPassword('abcdefghijklmnop') };

  test('logs in on a separate connection, sends nothing, and disconnects', async () => {
    await using gmail = await startSimulator();
    await using transport = openTransportTo(gmail, good);
    expect(await transport.verify()).toBeNull();
    expect(gmail.counters).toMatchObject({ connections: 1, logins: 1, transactions: 0 });
    await transport.send();
    expect(gmail.counters).toMatchObject({ connections: 2, logins: 2 });
  });

  test.each([
    ['bad-credentials', 'bad_credentials'],
    ['web-login', 'web_login_required'],
    ['too-many-logins', 'login_throttled'],
  ] as const)('reports a login refused with %s as %s', async (fault, code) => {
    await using gmail = await startSimulator();
    await using transport = openTransportTo(gmail, good);
    gmail.setLoginFault(fault);
    expect(await transport.verify()).toMatchObject({
      error: { code },
      scope: 'account',
      retryable: true,
      certain: true,
    });
    expect(gmail.counters.failedLogins).toBe(1);
  });

  test('tries the next server if one is unreachable, and the next attempt starts there', async () => {
    await using gmail = await startSimulator();
    await using transport = openTransportTo(gmail, good);
    await gmail.blockPort('starttls', 'refused');
    expect(await transport.verify()).toBeNull();
    await gmail.blockPort('starttls', null);
    expect(await transport.send()).toMatchObject({ ...SENT, server: `localhost:${gmail.tlsPort}` });
  });

  test('names every unreachable server', async () => {
    await using gmail = await startSimulator();
    await using transport = openTransportTo(gmail, good);
    await gmail.blockPort('starttls', 'refused');
    await gmail.blockPort('tls', 'refused');
    const fault = await transport.verify();
    expect(fault).toMatchObject({ error: { code: 'connect_failed' }, scope: 'connection' });
    expect(fault?.error.detail).toContain(`localhost:${gmail.starttlsPort}: `);
    expect(fault?.error.detail).toContain(`localhost:${gmail.tlsPort}: `);
  });

  test('returns connect_timeout for a port that drops packets', async () => {
    await using gmail = await startSimulator();
    await using deaf = await openBlackHolePort();
    await using transport = openTransportTo(gmail, {
      ...good,
      servers: [{ host: '127.0.0.1', port: deaf.port, tls: 'starttls' }],
    });
    expect(await transport.verify()).toMatchObject({
      error: { code: 'connect_timeout' },
      scope: 'connection',
    });
  });

  test('times out on a server that trickles data, and closes the connection', async () => {
    await using gmail = await startSimulator();
    const left = Promise.withResolvers<void>();
    await using server = await startRawSmtp(async (io) => {
      io.send('220 slow.test ESMTP\r\n');
      await io.expect(/^EHLO /);
      const trickle = setInterval(() => io.send('250-X\r\n'), 100);
      await io.expect(/^nothing more/).finally(() => {
        clearInterval(trickle);
        left.resolve();
      });
    });
    await using transport = openTransportTo(gmail, {
      ...good,
      servers: [{ host: '127.0.0.1', port: server.port, tls: 'starttls' }],
    });
    expect(await transport.verify()).toMatchObject({ error: { code: 'connect_timeout' } });
    await left.promise;
  });

  test('sends no credentials to a server without TLS', async () => {
    await using gmail = await startSimulator();
    await using server = await startRawSmtp(async (io) => {
      await io.greet('AUTH PLAIN');
      await io.expect(/^QUIT$/);
      io.send('221 Bye\r\n');
    });
    await using transport = openTransportTo(gmail, {
      ...good,
      servers: [{ host: '127.0.0.1', port: server.port, tls: 'never' }],
    });
    expect(await transport.verify()).toBeNull();
  });
});

test('a connection is closed with QUIT after a hundred messages', async () => {
  await using gmail = await startSimulator();
  await using transport = openTransportTo(gmail, { credentials: () => appPassword(gmail.password) });
  for (let i = 0; i < 100; i++) await transport.send();
  expect(gmail.counters.connections).toBe(1);
  expect(await transport.send()).toMatchObject({ fault: null });
  expect(gmail.counters).toMatchObject({ connections: 2, logins: 2, accepted: 101 });
});
