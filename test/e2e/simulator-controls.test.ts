import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import type { CertificateKind } from '../../src/simulator/tls/certificate.ts';
import {
  ACCEPTED,
  connectTo,
  control,
  deliver,
  lines,
  logInTo,
  normalize,
  normalizeReply,
  SENDER_OK,
  startSimulator,
} from '../helpers/smtp/simulator-session.ts';

const DAILY_LIMIT = /^550-5\.4\.5 Daily user sending limit exceeded\./;
const TRY_AGAIN_LATER = '421 4.7.0 Try again later, closing connection. <id> - gsmtp\r\n';
const RELAY_PEAK = lines(
  '450-4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary',
  '450-4.2.1 error. For more information on SMTP relay limits, please contact your',
  '450-4.2.1 administrator or visit',
  '450 4.2.1  https://support.google.com/a/answer/6140680 <id> - gsmtp',
);

async function lastReply(session: Parameters<typeof deliver>[0]): Promise<string | undefined> {
  return (await deliver(session, ['ada@example.com'])).at(-1);
}

describe('daily limit', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  test.each([
    ['the object', async (simulator: Simulator) => simulator.setDailyLimit({ messages: 2 })],
    ['HTTP', (simulator: Simulator) => control(simulator, '/daily-limit', { messages: 2 })],
  ])('set by %s refuses at DATA after the accepted messages, until null removes it', async (_way, limit) => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    expect(await lastReply(session)).toBe(ACCEPTED);
    await limit(simulator);
    expect((await deliver(session, ['no-such-user@simulator.test'])).at(-1)).toMatch(/^503/);
    await session.command('RSET');
    for (const _ of [1, 2]) expect(await lastReply(session)).toBe(ACCEPTED);
    for (const _ of [1, 2]) expect(await lastReply(session)).toMatch(DAILY_LIMIT);
    expect(simulator.counters.accepted).toBe(3);
    expect(simulator.transactions.at(-1)?.reply).toMatch(DAILY_LIMIT);
    expect(await control(simulator, '/daily-limit', { messages: null })).toEqual({
      messages: null,
      window_seconds: 86_400,
    });
    expect(await lastReply(session)).toBe(ACCEPTED);
    await limit(simulator);
    for (const _ of [1, 2]) expect(await lastReply(session)).toBe(ACCEPTED);
    expect(await lastReply(session)).toMatch(DAILY_LIMIT);
  });

  test('counts each user separately', async () => {
    await using simulator = await startSimulator();
    simulator.setDailyLimit({ messages: 1 });
    using one = await logInTo(simulator);
    using other = await logInTo(simulator, 'other@acme.test');
    expect([await lastReply(one), await lastReply(other)]).toEqual([ACCEPTED, ACCEPTED]);
    expect(await lastReply(other)).toMatch(DAILY_LIMIT);
  });

  test('accepts another message once an older one leaves the window', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    await using simulator = await startSimulator();
    await control(simulator, '/daily-limit', { messages: 2, window_seconds: 60 });
    using session = await logInTo(simulator);
    const start = Date.now();
    const replies = [];
    for (const at of [0, 30, 59.9, 60, 60, 90]) {
      vi.setSystemTime(start + at * 1000);
      replies.push((await lastReply(session))?.slice(0, 3));
    }
    expect(replies).toEqual(['250', '250', '550', '250', '550', '250']);
  });

  test('is never exceeded by concurrent sessions after DATA', async () => {
    await using simulator = await startSimulator();
    simulator.setDailyLimit({ messages: 1 });
    using one = await logInTo(simulator);
    using other = await logInTo(simulator);
    for (const session of [one, other]) {
      session.write(lines('MAIL FROM:<bot@acme.test>', 'RCPT TO:<ada@example.com>', 'DATA'));
      for (const _ of [1, 2, 3]) await session.read();
    }
    expect(await normalizeReply(one.command('Subject: x\r\n\r\nx\r\n.'))).toBe(ACCEPTED);
    expect(await other.command('Subject: x\r\n\r\nx\r\n.')).toMatch(DAILY_LIMIT);
    expect(simulator.messages).toHaveLength(1);
  });
});

describe('throttling', () => {
  test.each([
    ['the object', async (simulator: Simulator) => simulator.throttle(2)],
    ['HTTP', (simulator: Simulator) => control(simulator, '/throttle', { transactions: 2 })],
  ])(
    'by %s refuses the given number of transactions at MAIL, and closes each connection',
    async (_way, throttle) => {
      await using simulator = await startSimulator();
      await throttle(simulator);
      for (const _ of [1, 2]) {
        using session = await logInTo(simulator);
        session.write(lines('MAIL FROM:<bot@acme.test>', 'RCPT TO:<ada@example.com>', 'DATA'));
        expect(await normalizeReply(session.read())).toBe(TRY_AGAIN_LATER);
        await session.closed;
      }
      using session = await logInTo(simulator);
      expect(await lastReply(session)).toBe(ACCEPTED);
      expect(simulator.counters).toMatchObject({ transactions: 1, throttled: 2, accepted: 1 });
    },
  );

  test('can use the relay’s reply, and keeps the session', async () => {
    await using simulator = await startSimulator();
    expect(await control(simulator, '/throttle', { transactions: 1, reply: 'relay-peak' })).toEqual({
      transactions: 1,
      reply: 'relay-peak',
    });
    using session = await logInTo(simulator);
    expect(await normalizeReply(session.command('MAIL FROM:<bot@acme.test>'))).toBe(RELAY_PEAK);
    expect(await normalizeReply(session.command('MAIL FROM:<bot@acme.test>'))).toBe(SENDER_OK);
  });
});

describe('login fault', () => {
  test.each([
    ['the object', async (simulator: Simulator) => simulator.setLoginFault('too-many-logins', 2)],
    [
      'HTTP',
      (simulator: Simulator) => control(simulator, '/login-fault', { fault: 'too-many-logins', times: 2 }),
    ],
  ])('set by %s for a number of logins ends automatically', async (_way, fail) => {
    await using simulator = await startSimulator();
    await fail(simulator);
    for (const _ of [1, 2])
      await expect(logInTo(simulator)).rejects.toThrow('454 4.7.0 Too many login attempts');
    using session = await logInTo(simulator);
    expect(await lastReply(session)).toBe(ACCEPTED);
    expect(simulator.counters).toMatchObject({ logins: 1, failedLogins: 2 });
  });
});

describe('blocked port', () => {
  const portOf = (simulator: Simulator, name: 'starttls' | 'tls') =>
    name === 'tls' ? simulator.tlsPort : simulator.starttlsPort;
  const greet = async (simulator: Simulator, name: 'starttls' | 'tls') => {
    using session = await connectTo(simulator, name === 'tls' ? 'implicit' : 'starttls');
    return normalize(session.greeting);
  };
  const GREETING = '220 smtp.gmail.com ESMTP <id> - gsmtp\r\n';

  test.each([
    ['starttls', 'tls'],
    ['tls', 'starttls'],
  ] as const)(
    'refuses connections to %s but not to %s, closes open ones, and reopens',
    async (name, other) => {
      await using simulator = await startSimulator();
      using session = await connectTo(simulator, name === 'tls' ? 'implicit' : 'starttls');
      expect(await control(simulator, '/port-fault', { port: name, fault: 'refused' })).toEqual({
        port: name,
        fault: 'refused',
      });
      await session.closed;
      await expect(once(connect(portOf(simulator, name), '127.0.0.1'), 'connect')).rejects.toMatchObject({
        code: 'ECONNREFUSED',
      });
      expect(await greet(simulator, other)).toBe(GREETING);
      await simulator.blockPort(name, 'refused');
      await simulator.blockPort(name, null);
      expect(await greet(simulator, name)).toBe(GREETING);
    },
  );

  test.each(['starttls', 'tls'] as const)(
    'with fault silent accepts connections to %s and sends nothing',
    async (name) => {
      await using simulator = await startSimulator();
      await simulator.blockPort(name, 'silent');
      const socket = connect(portOf(simulator, name), '127.0.0.1');
      const heard: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => heard.push(chunk)).on('error', () => {});
      await once(socket, 'connect');
      socket.write(name === 'tls' ? Buffer.from('160301', 'hex') : 'EHLO client.test\r\n');
      await simulator.waitFor(({ counters }) => counters.connections === 1);
      const closed = once(socket, 'close');
      expect(await control(simulator, '/port-fault', { port: name, fault: null })).toEqual({
        port: name,
        fault: null,
      });
      await closed;
      expect(heard).toEqual([]);
      expect(await greet(simulator, name)).toBe(GREETING);
    },
  );

  test('with fault silent lets clients disconnect, and the simulator close', async () => {
    const simulator = await startSimulator();
    await simulator.blockPort('tls', 'silent');
    const [leaving, staying] = [
      connect(simulator.tlsPort, '127.0.0.1'),
      connect(simulator.tlsPort, '127.0.0.1'),
    ];
    for (const socket of [leaving, staying]) socket.on('error', () => {}).resume();
    await simulator.waitFor(({ counters }) => counters.connections === 2);
    leaving.end('EHLO client.test\r\n');
    await once(leaving, 'close');
    await Promise.all([simulator.close(), once(staying, 'close')]);
  });

  test('closes with the simulator', async () => {
    const simulator = await startSimulator();
    await simulator.blockPort('starttls', 'refused');
    await simulator.close();
    await using next = await startSimulator({ starttlsPort: simulator.starttlsPort });
    expect(await greet(next, 'starttls')).toBe(GREETING);
  });
});

describe('certificate', () => {
  /** Returns the error code of a client that trusts the simulator's CA; null if it connects. */
  async function verificationError(
    simulator: Simulator,
    tls: 'starttls' | 'implicit',
  ): Promise<string | null> {
    const trust = { ca: simulator.ca, servername: 'localhost' };
    let socket = connect(tls === 'implicit' ? simulator.tlsPort : simulator.starttlsPort, '127.0.0.1');
    if (tls === 'starttls') {
      await once(socket, 'data');
      socket.write('STARTTLS\r\n');
      await once(socket, 'data');
    }
    socket = connectTls({ ...trust, socket });
    try {
      await once(socket, 'secureConnect');
      return null;
    } catch (error) {
      return String(Object(error).code);
    } finally {
      socket.destroy();
    }
  }

  test.each<[CertificateKind, string]>([
    ['intercepted', 'SELF_SIGNED_CERT_IN_CHAIN'],
    ['expired', 'CERT_HAS_EXPIRED'],
    ['wrong-name', 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('of kind %s is refused on both ports with %s, until the trusted one is restored', async (kind, code) => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    expect(await control(simulator, '/certificate', { certificate: kind })).toEqual({ certificate: kind });
    await session.closed;
    expect([
      await verificationError(simulator, 'starttls'),
      await verificationError(simulator, 'implicit'),
    ]).toEqual([code, code]);
    simulator.setCertificate('trusted');
    expect([
      await verificationError(simulator, 'starttls'),
      await verificationError(simulator, 'implicit'),
    ]).toEqual([null, null]);
  });

  test('of kind intercepted names its issuer', async () => {
    await using simulator = await startSimulator();
    simulator.setCertificate('intercepted');
    const socket = connectTls({
      host: '127.0.0.1',
      port: simulator.tlsPort,
      servername: 'localhost',
      rejectUnauthorized: false,
    });
    await once(socket, 'secureConnect');
    expect(socket.getPeerCertificate(true)).toMatchObject({
      subjectaltname: expect.stringContaining('DNS:smtp.gmail.com'),
      issuerCertificate: { subject: { CN: 'Corporate Proxy CA' }, issuer: { CN: 'Corporate Proxy CA' } },
    });
    socket.destroy();
  });
});

describe('STARTTLS', () => {
  test.each([
    ['the object', async (simulator: Simulator, offered: boolean) => simulator.offerStarttls(offered)],
    ['HTTP', (simulator: Simulator, offered: boolean) => control(simulator, '/starttls', { offered })],
  ])('can be removed by %s, and restored', async (_way, offer) => {
    await using simulator = await startSimulator();
    using before = await connectTo(simulator, 'starttls');
    await offer(simulator, false);
    await before.closed;
    using stripped = await connectTo(simulator, 'starttls');
    expect(await stripped.command('EHLO client.test')).not.toContain('STARTTLS');
    expect(await stripped.command('STARTTLS')).toMatch(/^502 5\.5\.1 Unrecognized command\. /);
    await offer(simulator, true);
    using restored = await connectTo(simulator, 'starttls');
    expect(await restored.command('EHLO client.test')).toContain('250-STARTTLS\r\n');
    await restored.startTls();
    expect(await restored.command('EHLO client.test')).toContain('250-AUTH ');
  });
});

describe('From', () => {
  test.each([
    ['Bot <bot@acme.test>', null],
    ['BOT@acme.test', null],
    ['"Sales, Acme" <SALES@acme.test>', null],
    ['Acme\r\n <sales@acme.test>', null],
    ['"bot@acme.test" <ceo@acme.test>', 'bot@acme.test'],
    ['ceo@acme.test', 'bot@acme.test'],
  ])('%j is reported as rewritten to %s', async (from, rewritten) => {
    await using simulator = await startSimulator({ user: 'bot@acme.test', aliases: ['Sales@Acme.test'] });
    using session = await logInTo(simulator);
    await deliver(session, ['ada@example.com'], `Subject: x\r\nFrom: ${from}\r\n\r\nFrom: x@example.com\r\n`);
    expect(simulator.messages).toMatchObject([{ rewrittenFrom: rewritten }]);
    expect(simulator.messages[0]?.raw).toContain(`From: ${from}\r\n`);
  });
});

test('GET / lists every route', async () => {
  await using simulator = await startSimulator();
  const { routes } = Object(await (await fetch(simulator.httpUrl)).json());
  expect(routes).toContainEqual({ method: 'GET', path: '/messages', summary: expect.any(String) });
  const paths = routes
    .filter(({ method }: { method: string }) => method === 'POST')
    .map(({ path }: { path: string }) => path);
  expect(paths).toEqual(
    expect.arrayContaining([
      '/login-fault',
      '/password',
      '/daily-limit',
      '/throttle',
      '/port-fault',
      '/certificate',
      '/starttls',
    ]),
  );
});

test.each([
  ['/daily-limit', {}],
  ['/daily-limit', { messages: -1 }],
  ['/daily-limit', { messages: 3, window: 60 }],
  ['/throttle', { transactions: '2' }],
  ['/throttle', { transactions: 1, reply: 'no' }],
  ['/login-fault', { fault: 'bad-credentials', times: 0.5 }],
  ['/port-fault', { port: 'smtp', fault: null }],
  ['/port-fault', { port: 'tls' }],
  ['/certificate', { certificate: 'stolen' }],
  ['/starttls', { offered: null }],
])('%s refuses %j and names the field', async (path, body) => {
  await using simulator = await startSimulator();
  await expect(control(simulator, path, body)).rejects.toThrow(
    /^400 \{"error":".*(messages|window|transactions|reply|times|port|fault|certificate|offered)/,
  );
});
