import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createMemorySuppressions } from '../../src/adapters/memory/suppressions.ts';
import { openTransport } from '../../src/adapters/smtp/transport.ts';
import type { Delivery, SmtpReply } from '../../src/core/delivery/delivery.ts';
import type { Outcome } from '../../src/core/delivery/outcome.ts';
import { AppError } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import type { Suppression, SuppressionStore } from '../../src/core/ports/suppression-store.ts';
import { applySuppressions, createSuppressions } from '../../src/core/suppressions.ts';
import { aDelivery, aMessage } from '../helpers/delivery.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';
import { startSimulator } from '../helpers/smtp/simulator-session.ts';
import { aSuppression, NO_SUCH_USER, put } from '../helpers/suppression.ts';

const BOT = 'bot@acme.com';
const DISABLED: SmtpReply = {
  code: 550,
  enhanced: '5.2.1',
  response: 'The email account that you tried to reach is disabled.',
};

function startSuppressions({ learn = true, store = createMemorySuppressions() as SuppressionStore } = {}) {
  const events = createEvents();
  const errors: unknown[] = [];
  const suppressions = createSuppressions({ store, events, learn, onError: (error) => errors.push(error) });
  return {
    ...suppressions,
    errors,
    /** An attempt of the account ends so. */
    async attempted(
      outcome: Outcome,
      { account = BOT, delivery = aDelivery({ id: 'msg_1' }) as Delivery } = {},
    ) {
      const attempt = { number: 1, startedAt: 0, endedAt: 1, account, smtp: outcome.reply, error: null };
      events.emit('message.attempted', delivery, attempt, outcome);
      await suppressions.drain();
    },
  };
}

function refusing(email: string, smtp: SmtpReply, retryable = false): Outcome {
  const fault = aFault('recipients_rejected', { retryable, scope: 'recipient' });
  return anAcceptance(['ada@example.com'], [{ email, fault: { ...fault, error: { ...fault.error, smtp } } }]);
}

describe('what Gmail refuses', () => {
  test.each([
    ['no such mailbox', NO_SUCH_USER],
    ['a disabled mailbox', DISABLED],
  ])('as %s is not sent to again from that account', async (_, smtp) => {
    const suppressions = startSuppressions();
    await suppressions.attempted(refusing('bob@example.com', smtp));
    const found = await suppressions.find(BOT, ['ada@example.com', 'Bob@example.com']);
    const suppression = { reason: 'refused', accounts: [BOT], smtp, messageId: 'msg_1', note: null };
    expect([...found]).toEqual([['Bob@example.com', expect.objectContaining(suppression)]]);
    expect(await suppressions.find('other@acme.com', ['bob@example.com'])).toEqual(new Map());
  });

  test.each([
    ['for now', { ...DISABLED, response: 'is receiving mail at a rate that prevents' }, true],
    ['with another code', { ...NO_SUCH_USER, code: 553 }, false],
    ['as a full mailbox', { code: 552, enhanced: '5.2.2', response: 'over quota' }, false],
    ['by policy', { code: 550, enhanced: '5.7.1', response: 'a policy that prohibited' }, false],
    ['without an enhanced code', { ...NO_SUCH_USER, enhanced: null }, false],
  ])('%s is sent to again', async (_, smtp, retryable) => {
    const suppressions = startSuppressions();
    await suppressions.attempted(refusing('bob@example.com', smtp, retryable));
    expect(await suppressions.get('bob@example.com')).toBeNull();
  });

  test('for another account too is not sent to from either, and keeps its first day and reply', async () => {
    const suppressions = startSuppressions();
    await suppressions.attempted(refusing('bob@example.com', NO_SUCH_USER));
    const first = await suppressions.get('bob@example.com');
    await suppressions.attempted(refusing('bob@example.com', DISABLED), { account: 'other@acme.com' });
    await suppressions.attempted(refusing('bob@example.com', DISABLED), { account: 'other@acme.com' });
    expect(await suppressions.get('bob@example.com')).toEqual({
      ...first,
      accounts: [BOT, 'other@acme.com'],
    });
  });

  test('for two accounts at once loses neither, however slow the store', async () => {
    const kept = createMemorySuppressions();
    const slowly = () => nextTurn();
    const store: SuppressionStore = {
      ...kept,
      replace: (from, to) => slowly().then(() => kept.replace(from, to)),
    };
    const suppressions = startSuppressions({ store });
    const outcome = refusing('bob@example.com', NO_SUCH_USER);
    await Promise.all([BOT, 'other@acme.com'].map((account) => suppressions.attempted(outcome, { account })));
    expect(await suppressions.get('bob@example.com')).toMatchObject({ accounts: [BOT, 'other@acme.com'] });
  });

  test('by the simulator, in place of Gmail, is not remembered', async () => {
    const suppressions = startSuppressions();
    await suppressions.attempted(refusing('bob@example.com', NO_SUCH_USER), {
      delivery: aDelivery({ test: true }),
    });
    expect(await suppressions.get('bob@example.com')).toBeNull();
  });

  test('as the only recipient of a message is remembered, as the transport tells it', async () => {
    await using gmail = await startSimulator();
    const transport = openTransport({
      servers: [{ host: 'localhost', port: gmail.starttlsPort, tls: 'starttls' }],
      user: gmail.user,
      credentials: () => ({ kind: 'app_password', password: gmail.password }),
      ehloName: 'client.test',
      ca: gmail.ca,
    });
    const email = 'no-such-user@simulator.test';
    const {
      id,
      messageId,
      createdAt: date,
      envelope,
    } = aDelivery({ envelope: aMessage({ to: [email] }).envelope });
    const outcome = await transport.send({
      id,
      messageId,
      date,
      envelope,
      content: aMessage().content,
      recipients: [email],
    });
    await transport.close();
    const suppressions = startSuppressions();
    await suppressions.attempted(outcome);
    expect(outcome.accepted).toEqual([]);
    expect(await suppressions.get(email)).toMatchObject({
      reason: 'refused',
      smtp: { code: 550, enhanced: '5.1.1' },
    });
  });

  test('is told to whoever listens when it cannot be kept', async () => {
    const broken = new AppError('queue_unavailable');
    const suppressions = startSuppressions({
      store: { ...createMemorySuppressions(), get: () => Promise.reject(broken) },
    });
    await suppressions.attempted(refusing('bob@example.com', NO_SUCH_USER));
    expect(suppressions.errors).toEqual([broken]);
  });

  test('is neither remembered nor minded with SUPPRESS=never', async () => {
    const store = createMemorySuppressions();
    await put(store, aSuppression('old@example.com'));
    const suppressions = startSuppressions({ learn: false, store });
    await suppressions.attempted(refusing('bob@example.com', NO_SUCH_USER));
    expect(await suppressions.find(BOT, ['bob@example.com', 'old@example.com'])).toEqual(new Map());
    expect(await suppressions.get('bob@example.com')).toBeNull();
  });
});

describe('what is entered by hand', () => {
  test.each([true, false])('holds for every account, when learning is %s', async (learn) => {
    const suppressions = startSuppressions({ learn });
    const entered = await suppressions.enter('bob@example.com', 'Asked us to stop');
    expect(entered).toMatchObject({
      reason: 'manual',
      accounts: null,
      smtp: null,
      messageId: null,
      note: 'Asked us to stop',
    });
    expect(await suppressions.find('any@acme.com', ['bob@example.com'])).toEqual(
      new Map([['bob@example.com', entered]]),
    );
  });

  test('stays as it is when Gmail refuses the address', async () => {
    const suppressions = startSuppressions();
    const entered = await suppressions.enter('bob@example.com', null);
    await suppressions.attempted(refusing('bob@example.com', NO_SUCH_USER));
    expect(await suppressions.get('bob@example.com')).toEqual(entered);
    expect(suppressions.errors).toEqual([]);
  });

  test('is in place of a refusal that is being kept at that moment', async () => {
    const suppressions = startSuppressions();
    const kept = suppressions.attempted(refusing('bob@example.com', NO_SUCH_USER));
    const [entered] = await Promise.all([suppressions.enter('bob@example.com', null), kept]);
    expect(await suppressions.get('bob@example.com')).toEqual(entered);
  });

  test('is sent to again once it is removed', async () => {
    const suppressions = startSuppressions();
    await suppressions.enter('bob@example.com', null);
    expect(await suppressions.remove('bob@example.com')).toBe(true);
    expect(await suppressions.find(BOT, ['bob@example.com'])).toEqual(new Map());
  });
});

describe('a message that is to be accepted', () => {
  const toDelivery = (to: string[], rest: Partial<Delivery['envelope']> = {}) => {
    const envelope = { ...aMessage({ to }).envelope, ...rest };
    const emails = [...envelope.to, ...envelope.cc, ...envelope.bcc].map(({ email }) => email);
    return aDelivery({
      envelope,
      recipients: [...new Set(emails)].map((email) => ({ email, status: 'pending', smtp: null })),
    });
  };
  const foundOf = (...suppressions: Suppression[]) =>
    new Map(suppressions.map((suppression) => [suppression.email, suppression]));
  const named = (email: string) => ({ email, name: null });

  test('is as it was when nobody is suppressed', () => {
    const delivery = toDelivery(['ada@example.com']);
    expect(applySuppressions(delivery, new Map())).toBe(delivery);
  });

  test('goes to the others when some are, each with the reply that Gmail gave', () => {
    const delivery = toDelivery(['ada@example.com', 'bob@example.com']);
    expect(applySuppressions(delivery, foundOf(aSuppression('bob@example.com')))).toEqual({
      ...delivery,
      recipients: [
        { email: 'ada@example.com', status: 'pending', smtp: null },
        { email: 'bob@example.com', status: 'suppressed', smtp: NO_SUCH_USER },
      ],
      warnings: [{ code: 'recipients_suppressed', detail: 'Suppressed, so not sent to: bob@example.com.' }],
    });
  });

  test('is refused when all are, with why, since when and the mend for each place in the request', () => {
    const delivery = toDelivery(['bob@example.com'], {
      cc: [named('Eve@example.com')],
      bcc: [named('bob@example.com')],
    });
    const manual = aSuppression('Eve@example.com', { reason: 'manual', accounts: null, smtp: null });
    const refused = 'Gmail refused bob@example.com for good on 2027-01-01T09:00:00.000Z (550 5.1.1).';
    const entered = 'Somebody entered Eve@example.com on 2027-01-01T09:00:00.000Z.';
    const mend = (email: string) => ` Once it works again, DELETE /suppressions/${email}.`;
    let error: unknown;
    try {
      applySuppressions(delivery, foundOf(aSuppression('bob@example.com'), manual));
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({
      code: 'recipient_suppressed',
      message: expect.stringMatching(/^\/to\/0: Gmail refused .*\(and 2 more, see errors\)$/),
      errors: [
        { pointer: '/to/0', code: 'recipient_suppressed', detail: refused + mend('bob%40example.com') },
        { pointer: '/cc/0', code: 'recipient_suppressed', detail: entered + mend('Eve%40example.com') },
        { pointer: '/bcc/0', code: 'recipient_suppressed', detail: refused + mend('bob%40example.com') },
      ],
    });
  });
});

test('a failure of the whole attempt without refusals suppresses nobody', async () => {
  const suppressions = startSuppressions();
  await suppressions.attempted(aFailure(aFault('content_rejected', { retryable: false })));
  expect(await suppressions.list({ limit: 1, after: null })).toEqual([]);
});
