import { describe, expect, test } from 'vitest';
import { openTransport } from '../../src/adapters/smtp/transport.ts';
import type { Outcome } from '../../src/core/delivery/outcome.ts';
import { aJob } from '../helpers/delivery.ts';
import { type RawSession, startRawSmtp } from '../helpers/smtp/raw-smtp.ts';

const DEADLINES = {
  dnsMs: 2000,
  connectMs: 5000,
  greetingMs: 5000,
  tokenMs: 5000,
  setupMs: 8000,
  bodyMs: 8000,
};
const TO_ONE = ['ada@example.com'];
const TO_TWO = ['ada@example.com', 'bob@example.com'];

type Script = (io: RawSession) => Promise<void>;

/**
 * Sends through a server that runs the script, then reads to the end. Returns the outcomes, and
 * what the client sent after the script.
 */
async function sendThrough(script: Script, { to = TO_ONE, text = 'Hello.', sends = 1 } = {}) {
  const rests: Promise<string>[] = [];
  await using server = await startRawSmtp(async (io) => {
    await script(io);
    const rest = io.readToEnd();
    rests.push(rest);
    await rest;
  });
  const transport = openTransport({
    servers: [{ host: '127.0.0.1', port: server.port, tls: 'never' }],
    user: 'bot@acme.com',
    credentials: null,
    ehloName: 'client.test',
    deadlines: DEADLINES,
  });
  const outcomes: Outcome[] = [];
  for (let i = 0; i < sends; i += 1) outcomes.push(await transport.send(aJob(to, text)));
  await transport.close();
  return { outcomes, outcome: outcomes[0], rests: await Promise.all(rests), connections: server.connections };
}

const PROTOCOL_ERROR = {
  accepted: [],
  fault: { error: { code: 'smtp_protocol_error', smtp: null }, scope: 'connection', retryable: true },
};
const CERTAIN = { ...PROTOCOL_ERROR, fault: { ...PROTOCOL_ERROR.fault, certain: true } };
const UNCERTAIN = { ...PROTOCOL_ERROR, fault: { ...PROTOCOL_ERROR.fault, certain: false } };

const atGreeting =
  (reply: string): Script =>
  async (io) =>
    io.send(reply);
const atEhlo =
  (reply: string): Script =>
  async (io) => {
    io.send('220 raw.test ESMTP\r\n');
    await io.expect(/^EHLO /);
    io.send(reply);
  };
/** Replies to MAIL, RCPT and DATA, which are pipelined. */
const atEnvelope =
  (replies: string, recipients = 1): Script =>
  async (io) => {
    await io.greet();
    await io.expect(/^MAIL FROM:/);
    for (let i = 0; i < recipients; i += 1) await io.expect(/^RCPT TO:/);
    await io.expect(/^DATA$/);
    io.send(replies);
  };
const atData = (reply: string) => atEnvelope(`250 2.1.0 OK\r\n250 2.1.5 OK\r\n${reply}`);
/** The same for a server without PIPELINING. */
const atDataWithoutPipelining =
  (reply: string): Script =>
  async (io) => {
    io.send('220 raw.test ESMTP\r\n');
    await io.expect(/^EHLO /);
    io.send('250 raw.test\r\n');
    await io.expect(/^MAIL FROM:/);
    io.send('250 2.1.0 OK\r\n');
    await io.expect(/^RCPT TO:/);
    io.send('250 2.1.5 OK\r\n');
    await io.expect(/^DATA$/);
    io.send(reply);
  };
const afterDot =
  (reply: string): Script =>
  async (io) => {
    await io.greet();
    await io.acceptEnvelope();
    await io.readUntilDot();
    io.send(reply);
  };

const NOT_354 = [
  '250 2.0.0 OK',
  '251 User not local',
  '252 Perhaps',
  '200 Go ahead',
  '220 Ready',
  '221 Bye',
  '235 Accepted',
  '300 Go ahead',
  '334 Go ahead',
  '350 Go ahead',
  '355 Go ahead',
  '100 Wait',
  '199 Wait',
  '600 What?',
  '999 What?',
];
const MALFORMED = [
  '35 go',
  '3',
  '3540 go',
  '354go',
  '354\tgo',
  'OK',
  'three five four',
  ' 354 go',
  '3 54 go',
  '٣٥٤ go',
  '-354 go',
  '354-go\r\n250 OK',
  '354-go\r\n354go',
  '354-go\r\n\r\n354 go',
  '250-OK\r\n354 go',
  '35-go\r\n354 go',
  '354-go\r\n553 No',
  `354-${'x'.repeat(2 * 1024 * 1024)}`,
  `354-${'x'.repeat(60_000)}\r\n`.repeat(40),
];
const TWO_REPLIES = [
  '354 go\r\n250 OK',
  '354 go\r\n354 go',
  '354 go\r\n451 Not now',
  '354 go\r\n25',
  '354-go\r\n354 go\r\nwhat?',
];

const withNames = (replies: readonly string[]) =>
  replies.map((reply) => [JSON.stringify(reply.slice(0, 40)), reply] as const);

describe.concurrent('reply to DATA that is not a single 354', () => {
  test.each(withNames([...NOT_354, ...MALFORMED, ...TWO_REPLIES]))(
    '%s never starts the body',
    async (_, reply) => {
      for (const script of [atData, atDataWithoutPipelining]) {
        const { outcome, rests } = await sendThrough(script(`${reply}\r\n`));
        expect(outcome).toMatchObject(CERTAIN);
        expect(rests).toEqual(['']);
      }
    },
  );

  test('accepts a 354 of several lines as one reply', async () => {
    const { outcome } = await sendThrough(async (io) => {
      await atData('354-Go\r\n354-on\r\n354\r\n')(io);
      await io.readUntilDot();
      io.send('250 2.0.0 OK\r\n');
    });
    expect(outcome).toMatchObject({ accepted: TO_ONE, fault: null });
  });

  test('keeps the connection for the next message after a refusal with 4yz or 5yz', async () => {
    const { outcomes, connections } = await sendThrough(
      async (io) => {
        await atData('451 4.3.0 Not now\r\n')(io);
        await io.expect(/^RSET$/);
        io.send('250 OK\r\n');
        await io.acceptEnvelope();
        await io.readUntilDot();
        io.send('250 2.0.0 OK\r\n');
      },
      { sends: 2 },
    );
    expect(outcomes).toMatchObject([
      { fault: { error: { code: 'smtp_temporary_failure' } } },
      { fault: null },
    ]);
    expect(connections).toBe(1);
  });
});

describe.concurrent('unexpected reply', () => {
  test.each([
    ['354 to MAIL', '354 go\r\n250 OK\r\n250 OK\r\n'],
    ['354 to MAIL and 354 to DATA', '354 go\r\n250 OK\r\n354 go\r\n'],
    ['354 to RCPT', '250 OK\r\n354 go\r\n250 OK\r\n'],
    ['354 to everything', '354 go\r\n354 go\r\n354 go\r\n'],
    ['an extra reply before the 354', '250 OK\r\n250 OK\r\n250 OK\r\n354 go\r\n'],
    ['235 to RCPT', '250 OK\r\n235 Accepted\r\n354 go\r\n'],
    ['220 to MAIL', '220 Ready\r\n250 OK\r\n354 go\r\n'],
    ['a two-digit code to MAIL', '25 OK\r\n250 OK\r\n354 go\r\n'],
    ['a four-digit code to RCPT', '250 OK\r\n2500 OK\r\n354 go\r\n'],
    ['mixed codes to RCPT', '250 OK\r\n250-OK\r\n550 No\r\n354 go\r\n'],
  ])('%s never starts the body', async (_, replies) => {
    const { outcome, rests } = await sendThrough(atEnvelope(replies));
    expect(outcome).toMatchObject(CERTAIN);
    expect(rests).toEqual(['']);
  });

  test.each([
    ['greeting', atGreeting('250 Hello\r\n')],
    ['greeting', atGreeting('354 Hello\r\n')],
    ['greeting', atGreeting('22 Hello\r\n')],
    ['greeting', atGreeting('220-Hello\r\n250 Hello\r\n')],
    ['EHLO', atEhlo('220 raw.test\r\n')],
    ['EHLO', atEhlo('354 raw.test\r\n')],
    ['EHLO', atEhlo('2500 raw.test\r\n')],
    ['EHLO', atEhlo('250-raw.test\r\n235 PIPELINING\r\n')],
  ])('an invalid code at %s ends the session', async (_, script) => {
    const { outcome, rests } = await sendThrough(script);
    expect(outcome).toMatchObject(CERTAIN);
    expect(rests).toEqual(['']);
  });
});

describe.concurrent('what a server sends without being asked', () => {
  const accept: Script = async (io) => {
    await io.acceptEnvelope();
    await io.readUntilDot();
  };

  test.each([
    ['a refusal', '554 5.7.1 Too many sessions\r\n', 'connect_failed', 554],
    ['a closing', '421 4.3.0 Closing\r\n', 'smtp_temporary_failure', 421],
    ['an acceptance', '250 2.0.0 OK\r\n', 'smtp_protocol_error', null],
    ['the start of a reply', '25', 'smtp_protocol_error', null],
  ])('behind its reply to EHLO, %s fails the session and not the message', async (_, extra, code, smtp) => {
    const { outcome, rests } = await sendThrough(async (io) => {
      io.send('220 raw.test ESMTP\r\n');
      await io.expect(/^EHLO /);
      io.send(`250-raw.test\r\n250 PIPELINING\r\n${extra}`);
    });
    const error = { code, smtp: smtp && { code: smtp } };
    expect(outcome).toMatchObject({ fault: { error, scope: 'connection', retryable: true, certain: true } });
    expect(rests).toEqual(['']);
  });

  test('after a message, the start of a reply costs the next message a new connection and no attempt', async () => {
    const { outcomes, connections } = await sendThrough(
      async (io) => {
        await io.greet();
        await accept(io);
        io.send('250 2.0.0 OK\r\n25');
      },
      { sends: 2 },
    );
    expect(outcomes).toMatchObject([{ fault: null }, { fault: null }]);
    expect(connections).toBe(2);
  });
});

describe.concurrent('a refusal that is cut short by the end of the connection', () => {
  test.each([
    [
      'MAIL',
      '550 5.1.8 Bad sen',
      { error: { code: 'sender_rejected' }, scope: 'message', retryable: false },
      [],
    ],
    [
      'RCPT',
      '250 OK\r\n250 OK\r\n550 5.1.1 No such us',
      { error: { code: 'connection_lost' }, scope: 'connection', retryable: true },
      ['bob@example.com'],
    ],
    [
      'DATA',
      '250 OK\r\n250 OK\r\n250 OK\r\n554 5.7.1 N',
      { error: { code: 'policy_rejected' }, scope: 'message', retryable: false },
      [],
    ],
  ])('at %s is a refusal of what it responds to', async (_, replies, fault, refused) => {
    const { outcome } = await sendThrough(
      async (io) => {
        await atEnvelope(replies, 2)(io);
        io.drop();
        // Ends the script: the client disconnects, too.
        await io.expect(/^$/);
      },
      { to: TO_TWO },
    );
    expect(outcome).toMatchObject({ accepted: [], fault: { ...fault, certain: true } });
    expect(outcome?.refused.map(({ email }) => email)).toEqual(refused);
  });
});

describe.concurrent('reply before the final dot', () => {
  /**
   * Larger than the socket buffers, so that its end cannot be sent while the server does not read.
   */
  const LONG = { text: 'A line of some length, to fill the buffers of the sockets.\n'.repeat(200_000) };

  test.each([
    ['an acceptance', '250 2.0.0 OK\r\n', CERTAIN],
    ['another 354', '354 More\r\n', CERTAIN],
    ['a malformed line', '25 OK\r\n', CERTAIN],
    [
      'a refusal',
      '451 4.3.0 Not now\r\n',
      { fault: { error: { code: 'smtp_temporary_failure' }, certain: true } },
    ],
  ])('%s ends the session without a dot', async (_, reply, expected) => {
    const { outcome, rests } = await sendThrough(async (io) => {
      await io.greet();
      await io.acceptEnvelope();
      await io.expect(/^Message-ID|^From|^To|^Date|^Subject|^Content|^MIME|^X-/i);
      io.send(reply);
    }, LONG);
    expect(outcome).toMatchObject(expected);
    expect(rests[0]).not.toContain('\r\n.\r\n');
    expect(rests[0]?.length).toBeLessThan(LONG.text.length);
  });
});

describe.concurrent('reply after the dot', () => {
  test.each(
    withNames([
      '251 OK',
      '220 OK',
      '354 More',
      '25 OK',
      '2500 OK',
      '250-OK\r\n550 No',
      '550-No\r\n250 OK',
      'OK',
      '100 Wait',
    ]),
  )('%s leaves the outcome uncertain', async (_, reply) => {
    const { outcome, rests } = await sendThrough(afterDot(`${reply}\r\n`));
    expect(outcome).toMatchObject(UNCERTAIN);
    expect(rests).toEqual(['']);
  });

  test('an acceptance followed by 421 is an acceptance', async () => {
    const { outcome } = await sendThrough(afterDot('250 2.0.0 OK\r\n421 4.3.0 Closing\r\n'));
    expect(outcome).toMatchObject({ accepted: TO_ONE, fault: null });
  });
});

describe.concurrent('refused recipients in a pipelined envelope', () => {
  const REFUSED = '550 5.1.1 No such user\r\n';

  test('do not prevent sending to the accepted ones', async () => {
    const { outcome } = await sendThrough(
      async (io) => {
        await atEnvelope(`250 OK\r\n${REFUSED}250 OK\r\n354 go\r\n`, 2)(io);
        await io.readUntilDot();
        io.send('250 2.0.0 OK\r\n');
      },
      { to: TO_TWO },
    );
    expect(outcome).toMatchObject({
      accepted: ['bob@example.com'],
      refused: [{ email: 'ada@example.com' }],
      fault: null,
    });
  });

  test.each(['554 5.5.1 No valid recipients\r\n', '250 2.0.0 OK\r\n'])(
    'all of them: a 354 gets an empty message (RFC 2920), and the session continues after %j',
    async (afterEmpty) => {
      const { outcomes, connections } = await sendThrough(
        async (io) => {
          await atEnvelope(`250 OK\r\n${REFUSED}${REFUSED}354 go\r\n`, 2)(io);
          await io.expect(/^\.$/);
          io.send(afterEmpty);
          await io.expect(/^RSET$/);
          io.send('250 OK\r\n');
          await io.expect(/^MAIL FROM:/);
          await io.expect(/^RCPT TO:/);
          await io.expect(/^RCPT TO:/);
          await io.expect(/^DATA$/);
          io.send('250 OK\r\n250 OK\r\n250 OK\r\n354 go\r\n');
          await io.readUntilDot();
          io.send('250 2.0.0 OK\r\n');
        },
        { to: TO_TWO, sends: 2 },
      );
      expect(outcomes).toMatchObject([
        { accepted: [], fault: { error: { code: 'recipients_rejected' } } },
        { accepted: TO_TWO, fault: null },
      ]);
      expect(connections).toBe(1);
    },
  );

  test('all of them: a 250 to DATA ends the session', async () => {
    const { outcome, rests } = await sendThrough(atEnvelope(`250 OK\r\n${REFUSED}${REFUSED}250 OK\r\n`, 2), {
      to: TO_TWO,
    });
    expect(outcome).toMatchObject(CERTAIN);
    expect(rests).toEqual(['']);
  });

  test('a refused sender with a 354 to DATA ends the session', async () => {
    const { outcome, rests } = await sendThrough(
      atEnvelope('550 5.1.8 No\r\n503 Bad sequence\r\n354 go\r\n'),
    );
    expect(outcome).toMatchObject({ accepted: [], fault: { error: { code: 'sender_rejected' } } });
    expect(rests).toEqual(['']);
  });
});
