import { createTransport, type Transporter } from 'nodemailer';
import { describe, expect, test } from 'vitest';
import type { Simulator } from '../../src/simulator/simulator.ts';
import {
  ACCEPTED,
  base64,
  connectTo,
  deliver,
  lines,
  logInTo,
  normalize,
  startSimulator,
} from '../helpers/smtp/simulator-session.ts';

describe('received messages', () => {
  test('keeps the message as sent, with leading dots and non-ASCII bytes', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    const message = 'Subject: grüße\r\n\r\n.\r\n..\r\n.dot\r\nend.\r\n';
    await deliver(session, ['Ada@Example.com', 'bob@example.com'], message.replace(/^\./gm, '..'));
    expect(simulator.messages).toEqual([
      {
        id: expect.stringMatching(/^[0-9a-f]{13}-/),
        acceptedAt: expect.closeTo(Date.now(), -4),
        user: 'demo@simulator.test',
        authMethod: 'PLAIN',
        secure: true,
        from: 'bot@acme.test',
        recipients: ['Ada@Example.com', 'bob@example.com'],
        raw: message,
        bytes: Buffer.byteLength(message),
        rewrittenFrom: 'demo@simulator.test',
        answered: true,
      },
    ]);
  });

  test('keeps only the newest messages, but counts all of them', async () => {
    await using simulator = await startSimulator({ retain: 2 });
    using session = await logInTo(simulator);
    for (const n of [1, 2, 3]) await deliver(session, ['ada@example.com'], `Subject: ${n}\r\n\r\nx\r\n`);
    expect(simulator.messages.map(({ raw }) => raw.slice(0, 10))).toEqual(['Subject: 2', 'Subject: 3']);
    expect(simulator.transactions).toHaveLength(2);
    expect(simulator.counters).toEqual({
      connections: 1,
      logins: 1,
      failedLogins: 0,
      transactions: 3,
      throttled: 0,
      accepted: 3,
    });
  });

  test('resolves and rejects waitFor, and rejects it when the simulator closes', async () => {
    await using simulator = await startSimulator();
    const one = simulator.waitFor(({ counters }) => counters.accepted === 1);
    const never = expect(simulator.waitFor(({ counters }) => counters.accepted === 2)).rejects.toThrow(
      'was closed before',
    );
    using session = await logInTo(simulator);
    await deliver(session, ['ada@example.com']);
    await one;
    await simulator.waitFor(
      ({ transactions }) => transactions[0]?.reply?.startsWith('250 2.0.0 OK ') ?? false,
    );
    await simulator.close();
    await never;
  });
});

describe('HTTP port', () => {
  const json = (body: unknown) => ({
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

  test('lists messages newest first, returns one, and its text as text/plain', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    for (const n of [1, 2]) await deliver(session, ['ada@example.com'], `Subject: ${n}\r\n\r\n<script>\r\n`);
    const [first, second] = simulator.messages;
    const list = await (await fetch(`${simulator.httpUrl}/messages`)).text();
    expect(JSON.parse(list)).toMatchObject({
      messages: [{ id: second?.id, recipients: ['ada@example.com'] }, { id: first?.id }],
    });
    expect(list).not.toContain('Subject');
    expect(await (await fetch(`${simulator.httpUrl}/messages/${first?.id}`)).json()).toEqual(first);
    const raw = await fetch(`${simulator.httpUrl}/messages/${first?.id}/raw`);
    expect(raw.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(raw.headers.get('x-content-type-options')).toBe('nosniff');
    expect(await raw.text()).toBe(first?.raw);
    expect(await (await fetch(`${simulator.httpUrl}/counters`)).json()).toEqual(simulator.counters);
  });

  test('deletes messages without resetting the counters', async () => {
    await using simulator = await startSimulator();
    using session = await logInTo(simulator);
    await deliver(session, ['ada@example.com']);
    expect((await fetch(`${simulator.httpUrl}/messages`, { method: 'DELETE' })).status).toBe(204);
    expect(simulator.messages).toEqual([]);
    expect(simulator.counters.accepted).toBe(1);
  });

  test('starts and ends login faults', async () => {
    await using simulator = await startSimulator();
    using session = await connectTo(simulator, 'implicit');
    await session.command('EHLO client.test');
    const login = (password: string) =>
      session.command(`AUTH PLAIN ${base64(`\0bot@acme.test\0${password}`)}`);
    expect((await fetch(`${simulator.httpUrl}/login-fault`, json({ fault: 'too-many-logins' }))).status).toBe(
      200,
    );
    expect(await login('abcdefghijklmnop')).toMatch(/^454 4\.7\.0 /);
    await fetch(`${simulator.httpUrl}/login-fault`, json({ fault: null }));
    expect(
      (await fetch(`${simulator.httpUrl}/password`, json({ password: 'qrstuvwxyzabcdef' }))).status,
    ).toBe(204);
    expect(await login('abcdefghijklmnop')).toMatch(/^535-5\.7\.8 /);
    expect(await login('qrstuvwxyzabcdef')).toMatch(/^235 /);
  });

  test.each<[string, number, RequestInit]>([
    ['/none', 404, {}],
    ['/messages/none', 404, {}],
    ['/messages/none/raw', 404, {}],
    ['/messages', 404, { method: 'PUT' }],
    ['/login-fault', 400, json({ fault: 'sunspots' })],
    ['/login-fault', 400, json({})],
    ['/login-fault', 400, { ...json(null), body: '{' }],
    ['/login-fault', 415, { method: 'POST', body: '{"fault": null}' }],
    ['/password', 400, json({ password: '' })],
    ['/password', 413, json({ password: 'x'.repeat(70_000) })],
  ])('responds to %s with %i', async (path, status, init) => {
    await using simulator = await startSimulator();
    expect((await fetch(`${simulator.httpUrl}${path}`, init)).status).toBe(status);
  });
});

describe('nodemailer', () => {
  const connectTo = (simulator: Simulator, options: { tls?: object; secure?: boolean } = {}): Transporter =>
    createTransport({
      host: 'localhost',
      port: options.secure ? simulator.tlsPort : simulator.starttlsPort,
      secure: options.secure ?? false,
      requireTLS: true,
      auth: { user: simulator.user, pass: simulator.password },
      tls: options.tls ?? { ca: simulator.ca },
    });
  const message = {
    from: 'bot@acme.test',
    to: ['ada@example.com', 'no-such-user@simulator.test'],
    subject: 'Hello',
    text: '.dots\n..\n.',
  };

  test.each([false, true])(
    'delivers over verified TLS, and reports refused recipients (implicit TLS: %s)',
    async (secure) => {
      await using simulator = await startSimulator();
      const transport = connectTo(simulator, { secure });
      const info = await transport.sendMail(message);
      expect(info).toMatchObject({
        accepted: ['ada@example.com'],
        rejected: ['no-such-user@simulator.test'],
      });
      expect(normalize(`${info.response}\r\n`)).toBe(ACCEPTED);
      expect(simulator.messages[0]?.raw).toMatch(/^Subject: Hello\r$/m);
      expect(simulator.messages[0]?.raw).toMatch(/\r\n\r\n\.dots\r\n\.\.\r\n\.\r\n$/);
      expect(simulator.transactions).toHaveLength(1);
    },
  );

  test.each([false, true])(
    'refuses the certificate unless it trusts the CA (implicit TLS: %s)',
    async (secure) => {
      await using simulator = await startSimulator();
      const transport = connectTo(simulator, { secure, tls: {} });
      await expect(transport.sendMail(message)).rejects.toMatchObject({
        message: expect.stringContaining('self-signed certificate'),
      });
      expect(simulator.counters).toMatchObject({ connections: 1, logins: 0, transactions: 0 });
    },
  );

  test('accepts the certificate for smtp.gmail.com, and for no other name', async () => {
    await using simulator = await startSimulator();
    await connectTo(simulator, { tls: { ca: simulator.ca, servername: 'smtp.gmail.com' } }).sendMail(message);
    const other = connectTo(simulator, { tls: { ca: simulator.ca, servername: 'smtp.example.com' } });
    await expect(other.sendMail(message)).rejects.toThrow('smtp.example.com');
  });
});

describe('closing', () => {
  test('closes every connection at once, at any stage, and frees the ports', async () => {
    const simulator = await startSimulator();
    using idle = await connectTo(simulator, 'starttls');
    using midway = await logInTo(simulator);
    midway.write(lines('MAIL FROM:<bot@acme.test>', 'RCPT TO:<slow+60s@simulator.test>', 'DATA'));
    for (const _ of [1, 2, 3]) await midway.read();
    midway.write('Subject: x\r\n\r\nx\r\n.\r\n');
    await simulator.close();
    await Promise.all([idle.closed, midway.closed]);
    const { starttlsPort, tlsPort, httpPort } = simulator;
    await using next = await startSimulator({ starttlsPort, tlsPort, httpPort });
    expect(next.url).toBe(`smtp://localhost:${starttlsPort},smtps://localhost:${tlsPort}`);
  });
});
