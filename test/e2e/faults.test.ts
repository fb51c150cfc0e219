import { describe, expect, test } from 'vitest';
import type { ErrorCode } from '../../src/core/errors.ts';
import { FLOOD_BYTES } from '../helpers/smtp/faulty-connection.ts';
import type { FaultStage, ServerFault } from '../helpers/smtp/faulty-session.ts';
import { failAt, startWithFaults } from '../helpers/smtp/faulty-smtp.ts';

const HELLO = { to: 'ada@example.com', subject: 'Hello', text: 'Hello, Ada.' };
/**
 * 5 MB: more than the socket buffers hold (Linux sends 4 MB), so the end cannot leave before the
 * server reads.
 */
const LONG = {
  ...HELLO,
  text: 'A line of some length, to fill the buffers of the sockets.\n'.repeat(85_000),
};

/**
 * For faults that only a deadline ends. A healthy attempt must stay below these, even on a loaded
 * machine.
 */
const SHORT = { connectMs: 4000, greetingMs: 3000, setupMs: 4000, bodyMs: 6000 };
/** For faults in the body. Composing 5 MB takes time on a loaded machine and is not under test. */
const SHORT_BODY = { ...SHORT, setupMs: 15_000 };
const TIMEOUT_MS = 60_000;

const CLOSING = '421 4.3.0 Service closing transmission channel';
const NOT_NOW = '451 4.3.0 Not now';
const NEVER = '554 5.6.0 Never';
const TAKEN = '250 2.0.0 OK';

const LOST = { drop: 'connection_lost', reset: 'connection_lost', half: 'connection_lost' } as const;
const ODD = { garble: 'smtp_protocol_error', flood: 'smtp_protocol_error' } as const;
const CLOSED = { [CLOSING]: 'smtp_temporary_failure' } as const;
const LATER = { [NOT_NOW]: 'smtp_temporary_failure' } as const;
/** Also tested as a trickle. */
const NO_SESSION = { hang: 'connect_timeout' } as const;
const STALLED = { hang: 'connection_lost' } as const;

interface Row {
  readonly stage: FaultStage;
  readonly fault: ServerFault;
  readonly code: ErrorCode;
}

function at(stage: FaultStage, codes: Partial<Record<ServerFault, ErrorCode>>): Row[] {
  return (Object.entries(codes) as [ServerFault, ErrorCode][]).map(([fault, code]) => ({
    stage,
    fault,
    code,
  }));
}

/** The stage, the fault, and the error code of the attempt it ends. */
const CERTAIN = [
  at('connect', { drop: 'connection_lost', reset: 'connection_lost', ...NO_SESSION }),
  at('greeting', { ...LOST, ...NO_SESSION, ...ODD, ...CLOSED, ...LATER, [NEVER]: 'connect_failed' }),
  at('ehlo', { ...LOST, ...NO_SESSION, ...ODD, ...CLOSED, ...LATER, [NEVER]: 'connect_failed' }),
  at('starttls', { ...LOST, ...NO_SESSION, ...ODD, ...CLOSED }),
  at('tls', { ...LOST, ...STALLED }),
  at('ehlo-tls', { ...LOST, ...NO_SESSION, ...ODD, ...CLOSED, ...LATER, [NEVER]: 'connect_failed' }),
  at('mail', { ...LOST, ...STALLED, ...ODD, ...CLOSED, ...LATER }),
  at('rcpt', { ...LOST, ...STALLED, ...ODD, ...CLOSED, ...LATER }),
  at('data', { ...LOST, ...STALLED, ...ODD, ...CLOSED, ...LATER }),
  // The last fault is a premature reply: the server has not seen the end of the message yet.
  at('body', {
    drop: 'connection_lost',
    reset: 'connection_lost',
    ...STALLED,
    ...ODD,
    ...CLOSED,
    ...LATER,
    [TAKEN]: 'smtp_protocol_error',
  }),
  // A refusal is certain after the final dot, too.
  at('dot', { ...CLOSED, ...LATER }),
].flat();

/** Faults of the account. They cost the message no attempt. */
const OF_THE_ACCOUNT = [
  at('starttls', { '454 4.7.0 TLS not available': 'tls_failed', [NEVER]: 'tls_failed' }),
  at('tls', { garble: 'tls_failed', flood: 'tls_failed' }),
  // However a login ends, Gmail may count it as a failed login.
  at('auth', { ...LOST, ...NO_SESSION, ...ODD }),
  at('auth', {
    ...CLOSED,
    '454 4.7.0 Temporary authentication failure': 'smtp_temporary_failure',
    [NEVER]: 'bad_credentials',
  }),
].flat();

/** For faults that show at once, so no deadline is under test and a busy machine gets more time. */
const PATIENT = { connectMs: 8000, greetingMs: 8000, setupMs: 12_000 };

async function breakOnce({ stage, fault, code }: Row): Promise<void> {
  const short = stage === 'body' ? SHORT_BODY : SHORT;
  await using app = await startWithFaults(
    failAt(stage, fault),
    fault === 'hang' || fault === 'trickle' ? { deadlines: short } : { deadlines: PATIENT },
  );
  const { status, body } = await app.service.send(stage === 'body' ? LONG : HELLO, { wait: 50 });
  expect(status).toBe(200);
  expect(body).toMatchObject({ status: 'sent', error: null, possible_duplicate: false });
  expect(body.attempts).toMatchObject([
    { number: 1, error: { code, scope: 'message', retryable: true } },
    { number: 2, error: null, smtp: { code: 250 } },
  ]);
  const said = /^[45]\d\d/.exec(fault)?.[0];
  expect(body.attempts[0]?.error?.smtp?.code).toBe(said && Number(said));
  expect(app.gmail.log.copies).toMatchObject([
    { messageId: body.message_id, recipients: ['ada@example.com'], answered: true },
  ]);
  expect(await app.service.tally([body.id])).toEqual({ sent: 1 });
  // A flood is not buffered: memory stays flat.
  expect(app.gmail.log.floodedBytes).toBeLessThan(FLOOD_BYTES / 2);
}

/** Slowest first, because they run concurrently. */
const endless = CERTAIN.filter(({ fault }) => fault === 'hang').toReversed();
const inTheBody = CERTAIN.filter(({ stage, fault }) => stage === 'body' && fault !== 'hang');
const quick = CERTAIN.filter((row) => !endless.includes(row) && !inTheBody.includes(row));

describe.concurrent('a session that breaks once before the server can have accepted the message', {
  timeout: TIMEOUT_MS,
}, () => {
  test.each(endless)(
    'at $stage by silence or a trickle ends the attempt with $code, and the retry sends one copy',
    async (row) => {
      await Promise.all([breakOnce(row), breakOnce({ ...row, fault: 'trickle' })]);
    },
  );

  test.each(quick)(
    'at $stage by $fault ends the attempt with $code, and the retry sends one copy',
    breakOnce,
  );
});

describe('a session that breaks once in the body', { timeout: TIMEOUT_MS }, () => {
  test.each(inTheBody)('by $fault ends the attempt with $code, and the retry sends one copy', breakOnce);
});

describe.concurrent('a fault of the account', { timeout: TIMEOUT_MS }, () => {
  test.each(OF_THE_ACCOUNT)(
    'at $stage by $fault pauses the account with $code and costs no attempt',
    async ({ stage, fault, code }) => {
      await using app = await startWithFaults(
        failAt(stage, fault),
        fault === 'hang' ? { deadlines: SHORT } : {},
      );
      const { body } = await app.service.send(HELLO);
      const sent = await app.service.settled(body.id);
      expect(sent).toMatchObject({
        status: 'sent',
        possible_duplicate: false,
        attempts: [{ number: 1, error: null }],
      });
      const pauses = app.service.logs.filter(({ msg }) => msg === 'account paused');
      expect(pauses).toMatchObject([{ code, account: 'bot@simulator.test' }]);
      expect(app.gmail.log.copies).toHaveLength(1);
      expect(await app.service.tally([body.id])).toEqual({ sent: 1 });
    },
  );
});

describe.concurrent('a session that breaks three times', { timeout: TIMEOUT_MS }, () => {
  const drops = CERTAIN.filter(({ stage, fault }) => fault === 'drop' && stage !== 'body');
  test.each(drops)('at $stage costs one attempt per break, and one copy is sent', async ({ stage }) => {
    await using app = await startWithFaults(failAt(stage, 'drop', 3));
    const { body } = await app.service.send(HELLO, { wait: 50 });
    expect(body).toMatchObject({ status: 'sent', possible_duplicate: false });
    expect(body.attempts.map(({ number, error }) => [number, error?.code])).toEqual([
      [1, 'connection_lost'],
      [2, 'connection_lost'],
      [3, 'connection_lost'],
      [4, undefined],
    ]);
    expect(app.gmail.log).toMatchObject({ connections: 4, copies: [{ messageId: body.message_id }] });
  });
});

describe.concurrent('a permanent refusal', { timeout: TIMEOUT_MS }, () => {
  test.each([
    ['mail', 'smtp_rejected'],
    ['rcpt', 'recipients_rejected'],
    ['data', 'smtp_rejected'],
    ['dot', 'smtp_rejected'],
  ] as const)('at %s fails with %s after one attempt, and no copy is sent', async (stage, code) => {
    await using app = await startWithFaults(failAt(stage, '554 5.0.0 Never'));
    const { status, body } = await app.service.send(HELLO, { wait: 50 });
    expect(status).toBeGreaterThanOrEqual(422);
    expect(body).toMatchObject({
      code,
      message: { status: 'failed', possible_duplicate: false, attempts: [{ error: { code } }] },
    });
    expect(app.gmail.log.copies).toEqual([]);
    expect(await app.service.tally([body.message?.id ?? ''])).toEqual({ failed: 1 });
  });
});
