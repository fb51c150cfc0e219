import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { createServer } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { type Resolve, resolveHost } from '../../src/adapters/mail-server/resolve.ts';
import { trackAttempt } from '../../src/adapters/smtp/connection/attempt-tracker.ts';
import { openSession } from '../../src/adapters/smtp/connection/session.ts';
import { classify } from '../../src/adapters/smtp/errors/classify.ts';
import type { AttemptProgress } from '../../src/adapters/smtp/errors/nodemailer-errors.ts';
import { DEADLINES, type Deadlines } from '../../src/adapters/smtp/server-options.ts';
import { openTransport } from '../../src/adapters/smtp/transport.ts';
import type { Fault } from '../../src/core/delivery/outcome.ts';
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { aJob } from '../helpers/delivery.ts';
import { type RawSession, startRawSmtp } from '../helpers/smtp/raw-smtp.ts';

const BEFORE: AttemptProgress = { sessionReady: false, bodyStarted: false, bodyEnded: false };

/** Sends messages by a transport, one after the other, and returns the faults of the last one. */
async function attempt(port: number, options: AttemptOptions = {}): Promise<Fault[]> {
  const { sends = 1, text = 'Hello.', to = ['ada@example.com'], signal } = options;
  if (options.password !== undefined) return [await failedLogin(port, options.password)];
  const { host = '127.0.0.1', tls = 'never', ca = null } = options;
  const transport = openTransport({
    servers: [{ host, port, tls }],
    user: 'bot@acme.com',
    credentials: null,
    ehloName: 'client.test',
    ca,
    deadlines: { ...DEADLINES, ...options.deadlines },
    ...(options.resolve && { resolve: options.resolve }),
  });
  signal?.addEventListener('abort', () => transport.close());
  const job = aJob(to, text);
  for (let sent = 1; sent < sends; sent += 1) await transport.send(job);
  const { fault, refused } = await transport.send(job);
  await transport.close();
  return fault ? [withoutServer(fault)] : refused.map((one) => one.fault);
}

/** A transport never logs in without TLS, but a session does. */
async function failedLogin(port: number, password: string): Promise<Fault> {
  const tracker = trackAttempt(undefined, DEADLINES);
  const server = { host: '127.0.0.1', port, tls: 'never', ca: null } as const;
  const options = { ...server, ehloName: 'client.test', deadlines: DEADLINES, resolve: resolveHost };
  const auth = { kind: 'password', user: 'bot@acme.com', password } as const;
  try {
    await openSession(options, auth, tracker);
  } catch (error) {
    return classify(error, tracker.progress);
  } finally {
    tracker.end();
  }
  throw new Error('the login succeeded');
}

/** The transport puts the server before the detail if none could be reached. */
function withoutServer(fault: Fault): Fault {
  const detail = fault.error.detail.replace(/^\S+:\d+: /, '');
  return { ...fault, error: { ...fault.error, detail } };
}

interface AttemptOptions {
  readonly sends?: number;
  readonly text?: string;
  readonly to?: readonly string[];
  readonly host?: string;
  readonly tls?: 'never' | 'starttls' | 'implicit';
  readonly ca?: string;
  readonly password?: string;
  readonly deadlines?: Partial<Deadlines>;
  readonly resolve?: Resolve;
  readonly signal?: AbortSignal;
}
type Script = (io: RawSession) => Promise<void>;

const STARTTLS: AttemptOptions = { tls: 'starttls' };
const LOGIN: AttemptOptions = { password: 'seeded-secret' };

const greetThen =
  (next: Script, ...extensions: string[]): Script =>
  async (io) => {
    await io.greet(...extensions);
    await next(io);
  };
const login = (next: Script) =>
  greetThen(async (io) => {
    await io.expect(/^AUTH PLAIN /);
    await next(io);
  }, 'AUTH PLAIN');
const starttls = (next: Script) =>
  greetThen(async (io) => {
    await io.expect(/^STARTTLS$/);
    await next(io);
  }, 'STARTTLS');
const envelope = (replies: string): Script =>
  greetThen(async (io) => {
    await io.expect(/^MAIL FROM:/);
    io.send(replies);
  });
const afterDot = (next: Script) =>
  greetThen(async (io) => {
    await io.acceptEnvelope();
    await io.readUntilDot();
    await next(io);
  });
/**
 * Accepts one message. Drops the connection at MAIL of the next one, and any later connection
 * there.
 */
function dropAtSecondMail(): Script {
  let accepted = 0;
  return greetThen(async (io) => {
    if (accepted++ === 0) {
      await io.acceptEnvelope();
      await io.readUntilDot();
      io.send('250 2.0.0 OK\r\n');
    }
    await io.expect(/^MAIL FROM:/);
    io.drop();
  });
}
const reply =
  (...lines: string[]): Script =>
  async (io) =>
    io.send(lines.map((line) => `${line}\r\n`).join(''));
const replyAndDrop =
  (bytes: string): Script =>
  async (io) => {
    io.send(bytes);
    io.drop();
  };
const silence: Script = async () => {};
const drop: Script = async (io) => io.drop();
const reset: Script = async (io) => io.reset();

const BIG = 'A line of some length, to fill the buffers of the sockets.\n'.repeat(200_000);

interface Scenario {
  readonly name: string;
  readonly script: Script;
  readonly options?: AttemptOptions;
  readonly code: ErrorCode;
  readonly scope: Fault['scope'];
  readonly uncertain?: boolean;
  readonly smtp?: number;
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a connection closed before the greeting',
    script: drop,
    code: 'connection_lost',
    scope: 'connection',
  },
  {
    name: 'a connection reset before the greeting',
    script: reset,
    code: 'connection_lost',
    scope: 'connection',
  },
  {
    name: 'a missing greeting',
    script: silence,
    options: { deadlines: { greetingMs: 50 } },
    code: 'connect_timeout',
    scope: 'connection',
  },
  {
    name: 'a greeting that is not SMTP',
    script: reply('HTTP/1.1 400 Bad Request'),
    code: 'smtp_protocol_error',
    scope: 'connection',
  },
  {
    name: 'a greeting of 554',
    script: reply('554 5.7.1 No service'),
    code: 'connect_failed',
    scope: 'connection',
    smtp: 554,
  },
  {
    name: 'a greeting of 421',
    script: reply('421-4.7.0 Try again later, closing', '421 4.7.0  connection. x - gsmtp'),
    code: 'throttled',
    scope: 'account',
    smtp: 421,
  },
  {
    name: 'a connection closed at EHLO',
    script: async (io) => {
      io.send('220 x\r\n');
      await io.expect(/^EHLO/);
      io.drop();
    },
    code: 'connection_lost',
    scope: 'connection',
  },
  {
    name: 'a refused EHLO',
    script: async (io) => {
      io.send('220 x\r\n');
      await io.expect(/^EHLO/);
      io.send('501 5.5.4 HELO/EHLO argument is invalid.\r\n');
    },
    options: STARTTLS,
    code: 'ehlo_refused',
    scope: 'account',
    smtp: 501,
  },
  {
    name: 'an invalid reply to EHLO',
    script: async (io) => {
      io.send('220 x\r\n');
      await io.expect(/^EHLO/);
      io.send('what?\r\n');
    },
    options: STARTTLS,
    code: 'smtp_protocol_error',
    scope: 'connection',
  },

  {
    name: 'STARTTLS that is stripped, then refused',
    script: greetThen(async (io) => {
      await io.expect(/^STARTTLS$/);
      io.send('502 5.5.1 Unrecognized command.\r\n');
    }),
    options: STARTTLS,
    code: 'tls_failed',
    scope: 'account',
    smtp: 502,
  },
  {
    name: 'an invalid reply to STARTTLS',
    script: starttls(reply('what?')),
    options: STARTTLS,
    code: 'smtp_protocol_error',
    scope: 'connection',
  },
  {
    name: '421 in reply to STARTTLS',
    script: starttls(reply('421 4.3.0 Bye.')),
    options: STARTTLS,
    code: 'smtp_temporary_failure',
    scope: 'connection',
    smtp: 421,
  },
  {
    name: 'a connection closed during the TLS handshake',
    script: starttls(replyAndDrop('220 2.0.0 Ready\r\n')),
    options: STARTTLS,
    code: 'connection_lost',
    scope: 'connection',
  },
  {
    name: 'a TLS handshake that hangs',
    script: starttls(reply('220 2.0.0 Ready')),
    options: { ...STARTTLS, deadlines: { greetingMs: 100 } },
    code: 'connection_lost',
    scope: 'connection',
  },
  {
    name: 'a server on the TLS port that does not speak TLS',
    script: reply('220 smtp.example.com ESMTP'),
    options: { tls: 'implicit' },
    code: 'tls_failed',
    scope: 'account',
  },
  {
    name: 'a connection closed on the TLS port',
    script: drop,
    options: { tls: 'implicit' },
    code: 'connection_lost',
    scope: 'connection',
  },
  {
    name: 'no response on the TLS port',
    script: silence,
    options: { tls: 'implicit', deadlines: { connectMs: 100 } },
    code: 'connect_timeout',
    scope: 'connection',
  },

  {
    name: 'a wrong password',
    script: login(
      reply(
        '535-5.7.8 Username and Password not accepted. For more information, go to',
        '535 5.7.8  https://support.google.com/mail/?p=BadCredentials x - gsmtp',
      ),
    ),
    options: LOGIN,
    code: 'bad_credentials',
    scope: 'account',
    smtp: 535,
  },
  {
    name: 'too many logins',
    script: login(reply('454 4.7.0 Too many login attempts, please try again later. 4-2002 - gsmtp')),
    options: LOGIN,
    code: 'login_throttled',
    scope: 'account',
    smtp: 454,
  },
  {
    name: '421 in reply to AUTH',
    script: login(replyAndDrop('421 4.3.0 Bye.\r\n')),
    options: LOGIN,
    code: 'smtp_temporary_failure',
    scope: 'account',
    smtp: 421,
  },
  {
    name: 'an invalid reply to AUTH',
    script: login(reply('what?')),
    options: LOGIN,
    code: 'smtp_protocol_error',
    scope: 'account',
  },
  {
    name: 'a connection closed at AUTH',
    script: login(drop),
    options: LOGIN,
    code: 'connection_lost',
    scope: 'account',
  },
  {
    name: 'a missing password',
    script: greetThen(silence, 'AUTH PLAIN'),
    options: { password: '' },
    code: 'bad_credentials',
    scope: 'account',
  },

  {
    name: 'MAIL refused without a login',
    script: envelope(
      '530 5.7.0 Authentication Required. x - gsmtp\r\n503 5.5.1 MAIL first.\r\n503 5.5.1 MAIL first.\r\n',
    ),
    code: 'bad_credentials',
    scope: 'account',
    smtp: 530,
  },
  {
    name: 'a connection reported as expired at MAIL',
    script: envelope('421 4.7.0 Connection expired, try reconnecting. x - gsmtp\r\n'),
    code: 'connection_lost',
    scope: 'connection',
    smtp: 421,
  },
  { name: 'a drop at MAIL', script: greetThen(drop), code: 'connection_lost', scope: 'connection' },
  {
    name: 'a dead pooled connection, and a drop of the one that replaces it',
    script: dropAtSecondMail(),
    options: { sends: 2 },
    code: 'connection_lost',
    scope: 'connection',
  },
  {
    name: 'a refused single recipient',
    script: envelope(
      '250 OK\r\n550-5.1.1 The email account that you tried to reach does not exist. Please\r\n550 5.1.1 try x - gsmtp\r\n503 5.5.1 RCPT first.\r\n',
    ),
    code: 'recipients_rejected',
    scope: 'recipient',
    smtp: 550,
  },
  {
    name: 'one recipient unknown and one throttled',
    script: envelope(
      '250 OK\r\n550 5.1.1 No such user.\r\n450 4.2.1 The user is receiving mail too quickly.\r\n503 5.5.1 RCPT first.\r\n',
    ),
    options: { to: ['ada@example.com', 'bob@example.com'] },
    code: 'smtp_temporary_failure',
    scope: 'recipient',
    smtp: 450,
  },
  {
    name: 'one recipient throttled and one at the account’s limit',
    script: envelope(
      '250 OK\r\n450 4.2.1 The user is receiving mail too quickly.\r\n550 5.4.5 Enough.\r\n503 5.5.1 RCPT first.\r\n',
    ),
    options: { to: ['ada@example.com', 'bob@example.com'] },
    code: 'daily_limit_reached',
    scope: 'account',
    smtp: 550,
  },
  {
    name: 'one recipient unknown and one mailbox full',
    script: envelope('250 OK\r\n552 5.2.2 Full.\r\n550 5.1.1 No such user.\r\n503 5.5.1 RCPT first.\r\n'),
    options: { to: ['ada@example.com', 'bob@example.com'] },
    code: 'recipients_rejected',
    scope: 'recipient',
    smtp: 552,
  },
  {
    name: '421 at RCPT',
    script: envelope('250 OK\r\n421 4.4.5 Server busy, try again later. x - gsmtp\r\n'),
    code: 'throttled',
    scope: 'account',
    smtp: 421,
  },
  {
    name: 'an invalid reply to RCPT',
    script: envelope('250 OK\r\nwhat?\r\n503 5.5.1 RCPT first.\r\n'),
    code: 'smtp_protocol_error',
    scope: 'connection',
  },
  {
    name: 'a refused DATA',
    script: envelope('250 OK\r\n250 OK\r\n451 4.3.0 Mail server temporarily rejected message. x - gsmtp\r\n'),
    code: 'smtp_temporary_failure',
    scope: 'message',
    smtp: 451,
  },

  {
    name: 'a connection reset during the body',
    script: greetThen(async (io) => {
      await io.acceptEnvelope();
      await io.expect(/./);
      io.reset();
    }),
    options: { text: BIG },
    code: 'connection_lost',
    scope: 'connection',
  },
  {
    name: 'a refusal during the body',
    script: greetThen(async (io) => {
      await io.acceptEnvelope();
      await io.expect(/./);
      io.send("552 5.3.4 Your message exceeded Google's message size limits.\r\n");
    }),
    options: { text: BIG },
    code: 'message_too_large',
    scope: 'message',
    smtp: 552,
  },
  {
    name: 'a connection closed after the dot',
    script: afterDot(drop),
    code: 'connection_lost',
    scope: 'connection',
    uncertain: true,
  },
  {
    name: 'a connection reset after the dot',
    script: afterDot(reset),
    code: 'connection_lost',
    scope: 'connection',
    uncertain: true,
  },
  {
    name: 'no reply after the dot',
    script: afterDot(silence),
    options: { deadlines: { bodyMs: 100 } },
    code: 'connection_lost',
    scope: 'connection',
    uncertain: true,
  },
  {
    name: 'an invalid reply after the dot',
    script: afterDot(reply('what?')),
    code: 'smtp_protocol_error',
    scope: 'connection',
    uncertain: true,
  },
  {
    name: '354 after the dot',
    script: afterDot(reply('354 More!')),
    code: 'smtp_protocol_error',
    scope: 'connection',
    uncertain: true,
  },
  {
    name: 'an incomplete reply after the dot',
    script: afterDot(replyAndDrop('55')),
    code: 'connection_lost',
    scope: 'connection',
    uncertain: true,
  },
  {
    name: 'an endless reply after the dot',
    script: afterDot(reply(`250-${'x'.repeat(40_000)}`, `250-${'x'.repeat(40_000)}`)),
    code: 'smtp_protocol_error',
    scope: 'connection',
    uncertain: true,
  },
  {
    name: 'the daily limit after the dot',
    script: afterDot(
      reply(
        '550-5.4.5 Daily user sending limit exceeded. For more information on Gmail',
        '550-5.4.5 sending limits go to',
        '550 5.4.5  https://support.google.com/a/answer/166852 d2 - gsmtp',
      ),
    ),
    code: 'daily_limit_reached',
    scope: 'account',
    smtp: 550,
  },
  {
    name: '421 after the dot',
    script: afterDot(replyAndDrop('421 4.3.0 Temporary System Problem. Try again later. x - gsmtp\r\n')),
    code: 'smtp_temporary_failure',
    scope: 'message',
    smtp: 421,
  },
  {
    name: 'a refusal after the dot, cut short by a closed connection',
    script: afterDot(
      replyAndDrop('550 5.7.1 Our system has detected that this message is likely unsolicited mail.'),
    ),
    code: 'content_rejected',
    scope: 'message',
    smtp: 550,
  },
];

describe('classify with a real server', () => {
  test.each(SCENARIOS)(
    'classifies $name as $code',
    async ({ script, options, code, scope, uncertain = false, smtp = null }) => {
      await using server = await startRawSmtp(script);
      const [fault] = await attempt(server.port, options);
      expect(fault).toMatchObject({ error: { code }, scope, certain: !uncertain });
      expect(fault?.error.smtp?.code ?? null).toBe(smtp);
      if (uncertain) expect(fault?.error.hint).toBe(ERRORS.delivery_uncertain.hint);
      expect(fault?.error.detail).toMatch(/^[A-Z][^\n]*[.!?…]$/);
      expect(JSON.stringify(fault)).not.toMatch(/seeded-secret|CERTIFICATE|node:internal/);
      const permanent = ['recipients_rejected', 'content_rejected', 'message_too_large'].includes(code);
      expect(fault?.retryable).toBe(!permanent);
    },
  );

  test('classifies one refused recipient among accepted ones as recipients_rejected', async () => {
    await using server = await startRawSmtp(
      greetThen(async (io) => {
        await io.expect(/^MAIL FROM:/);
        io.send('250 OK\r\n550 5.1.1 No such user.\r\n250 OK\r\n354 Go\r\n');
        await io.readUntilDot();
        io.send('250 2.0.0 OK\r\n');
      }),
    );
    const faults = await attempt(server.port, { to: ['ada@example.com', 'bob@example.com'] });
    expect(faults).toMatchObject([
      { error: { code: 'recipients_rejected' }, scope: 'recipient', retryable: false, certain: true },
    ]);
  });

  test.each([
    ['connect_timeout', 'before the session is ready', true, silence],
    [
      'connection_lost',
      'during the envelope',
      true,
      greetThen(async (io) => void (await io.expect(/^MAIL/))),
    ],
    ['connection_lost', 'after the dot', false, afterDot(silence)],
  ] as const)('classifies an abort as %s %s', async (code, _, certain, script) => {
    const controller = new AbortController();
    await using server = await startRawSmtp(async (io) => {
      await script(io);
      controller.abort();
    });
    const [fault] = await attempt(server.port, { signal: controller.signal });
    expect(fault).toMatchObject({ error: { code }, scope: 'connection', retryable: true, certain });
  });

  test('classifies a closed port as connect_failed', async () => {
    const { port } = await closedPort();
    const [fault] = await attempt(port);
    expect(fault).toMatchObject({
      error: { code: 'connect_failed' },
      scope: 'connection',
      retryable: true,
      certain: true,
    });
    expect(fault?.error.detail).toContain(`ECONNREFUSED 127.0.0.1:${port}`);
  });

  test('classifies a host name that does not exist as dns_failed', async () => {
    const [fault] = await attempt(25, { host: 'no-such-host.invalid', deadlines: { dnsMs: 2000 } });
    expect(fault).toMatchObject({
      error: { code: 'dns_failed' },
      scope: 'connection',
      retryable: true,
      certain: true,
    });
  });

  test('classifies several addresses that refuse as connect_failed, with the reason of each', async () => {
    const { port } = await closedPort();
    const error = await refusedByAll(['127.0.0.1', '127.0.0.2'], port);
    expect(error).toMatchObject({ name: 'AggregateError', message: '' });
    const fault = classify(
      Object.assign(error, { originalCode: 'ECONNREFUSED', code: 'ESOCKET', command: 'CONN' }),
      BEFORE,
    );
    expect(fault.error.code).toBe('connect_failed');
    expect(fault.error.detail).toContain(`127.0.0.1:${port}; connect ECONNREFUSED 127.0.0.2:${port}`);
  });

  test.each([
    ['signed by an unknown authority', 'localhost', false, 'SELF_SIGNED_CERT_IN_CHAIN'],
    ['for another host', 'elsewhere.test', true, 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ])('classifies a certificate %s as tls_failed', async (_, host, trusted, reason) => {
    const certificate = createCertificate(['localhost']);
    const server = createServer(certificate).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const [fault] = await attempt(port, {
      tls: 'implicit',
      host,
      resolve: async () => [{ address: '127.0.0.1', family: 4 }],
      ...(trusted ? { ca: certificate.ca } : {}),
    });
    server.close();
    expect(fault).toMatchObject({
      error: { code: 'tls_failed', smtp: null },
      scope: 'account',
      retryable: true,
      certain: true,
    });
    expect(fault?.error.detail).toBe(`The server’s certificate is not trusted (${reason}).`);
  });
});

async function closedPort() {
  const server = await startRawSmtp(silence);
  const { port } = server;
  await server[Symbol.asyncDispose]();
  return { port };
}

/** Returns Node's error when a name has several addresses and all of them refuse. */
async function refusedByAll(addresses: readonly string[], port: number): Promise<Error> {
  const socket = connect({
    host: 'several.test',
    port,
    autoSelectFamily: true,
    lookup: (_host, _options, callback) =>
      callback(
        null,
        addresses.map((address) => ({ address, family: 4 })),
      ),
  });
  const [error] = (await once(socket, 'error')) as [Error];
  return error;
}
