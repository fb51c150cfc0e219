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

function startSuppressions({
  suppressRefused = true,
  store = createMemorySuppressions() as SuppressionStore,
} = {}) {
  const events = createEvents();
  const errors: unknown[] = [];
  const suppressions = createSuppressions({
    store,
    events,
    suppressRefused,
    onError: (error) => errors.push(error),
  });
  return {
    ...suppressions,
    errors,
    /** Emits the end of an attempt of the account. */
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

describe('an address that Gmail refuses', () => {
  test.each([
    ['no such mailbox', NO_SUCH_USER],
    ['a disabled mailbox', DISABLED],
  ])('as %s is suppressed for that account', async (_, smtp) => {
    const suppressions = startSuppressions();
    await suppressions.attempted(refusing('bob@example.com', smtp));
    const found = await suppressions.find(BOT, ['ada@example.com', 'Bob@example.com']);
    const suppression = { reason: 'refused', accounts: [BOT], smtp, messageId: 'msg_1', note: null };
    expect([...found]).toEqual([['Bob@example.com', expect.objectContaining(suppression)]]);
    expect(await suppressions.find('other@acme.com', ['bob@example.com'])).toEqual(new Map());
  });

  test.each([
    ['temporarily', { ...DISABLED, response: 'is receiving mail at a rate that prevents' }, true],
    ['with another code', { ...NO_SUCH_USER, code: 553 }, false],
    ['as a full mailbox', { code: 552, enhanced: '5.2.2', response: 'over quota' }, false],
    ['by policy', { code: 550, enhanced: '5.7.1', response: 'a policy that prohibited' }, false],
    ['without an enhanced code', { ...NO_SUCH_USER, enhanced: null }, false],
  ])('%s is not suppressed', async (_, smtp, retryable) => {
    const suppressions = startSuppressions();
    await suppressions.attempted(refusing('bob@example.com', smtp, retryable));
    expect(await suppressions.get('bob@example.com')).toBeNull();
  });

  test('for a second account is suppressed for both, with its first date and reply', async () => {
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

  test('for two accounts at once is suppressed for both, even with a slow store', async () => {
    const memory = createMemorySuppressions();
    const slowly = () => nextTurn();
    const store: SuppressionStore = {
      ...memory,
      replace: (from, to) => slowly().then(() => memory.replace(from, to)),
    };
    const suppressions = startSuppressions({ store });
    const outcome = refusing('bob@example.com', NO_SUCH_USER);
    await Promise.all([BOT, 'other@acme.com'].map((account) => suppressions.attempted(outcome, { account })));
    expect(await suppressions.get('bob@example.com')).toMatchObject({ accounts: [BOT, 'other@acme.com'] });
  });

  test('is not suppressed if the simulator refused it', async () => {
    const suppressions = startSuppressions();
    await suppressions.attempted(refusing('bob@example.com', NO_SUCH_USER), {
      delivery: aDelivery({ test: true }),
    });
    expect(await suppressions.get('bob@example.com')).toBeNull();
  });

  test('is suppressed if it was the only recipient, with a real transport', async () => {
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

  test('is reported to onError if it cannot be stored', async () => {
    const broken = new AppError('queue_unavailable');
    const suppressions = startSuppressions({
      store: { ...createMemorySuppressions(), get: () => Promise.reject(broken) },
    });
    await suppressions.attempted(refusing('bob@example.com', NO_SUCH_USER));
    expect(suppressions.errors).toEqual([broken]);
  });

  test('is neither stored nor suppressed with SUPPRESS=never', async () => {
    const store = createMemorySuppressions();
    await put(store, aSuppression('old@example.com'));
    const suppressions = startSuppressions({ suppressRefused: false, store });
    await suppressions.attempted(refusing('bob@example.com', NO_SUCH_USER));
    expect(await suppressions.find(BOT, ['bob@example.com', 'old@example.com'])).toEqual(new Map());
    expect(await suppressions.get('bob@example.com')).toBeNull();
  });
});

describe('an address that has bounced', () => {
  test('is suppressed for its accounts, and stays as it is if it was added manually', async () => {
    const suppressions = startSuppressions();
    const added = await suppressions.add('eve@example.com', null);
    for (const account of [BOT, 'other@acme.com']) {
      await suppressions.addBounced('bob@example.com', account, NO_SUCH_USER, 'msg_1');
      await suppressions.addBounced('eve@example.com', account, NO_SUCH_USER, 'msg_1');
    }
    const bounced = {
      reason: 'bounce',
      accounts: [BOT, 'other@acme.com'],
      smtp: NO_SUCH_USER,
      messageId: 'msg_1',
    };
    expect(await suppressions.get('bob@example.com')).toMatchObject(bounced);
    expect(await suppressions.get('eve@example.com')).toEqual(added);
    expect((await suppressions.find('third@acme.com', ['bob@example.com'])).size).toBe(0);
  });

  test('is not suppressed with SUPPRESS=never', async () => {
    const suppressions = startSuppressions({ suppressRefused: false });
    await suppressions.addBounced('bob@example.com', BOT, NO_SUCH_USER, 'msg_1');
    expect(await suppressions.get('bob@example.com')).toBeNull();
  });

  test('is reported to onError if it can never be stored, and is rejected if it can be later', async () => {
    const failing = (error: AppError) =>
      startSuppressions({ store: { ...createMemorySuppressions(), get: () => Promise.reject(error) } });
    const full = new AppError('queue_full');
    const suppressions = failing(full);
    await suppressions.addBounced('bob@example.com', BOT, NO_SUCH_USER, 'msg_1');
    expect(suppressions.errors).toEqual([full]);
    const unavailable = new AppError('queue_unavailable');
    const bounced = failing(unavailable).addBounced('bob@example.com', BOT, NO_SUCH_USER, 'msg_1');
    await expect(bounced).rejects.toBe(unavailable);
  });
});

describe('an address added manually', () => {
  test.each([true, false])(
    'is suppressed for every account, with SUPPRESS=hard: %s',
    async (suppressRefused) => {
      const suppressions = startSuppressions({ suppressRefused });
      const added = await suppressions.add('bob@example.com', 'Asked us to stop');
      expect(added).toMatchObject({
        reason: 'manual',
        accounts: null,
        smtp: null,
        messageId: null,
        note: 'Asked us to stop',
      });
      expect(await suppressions.find('any@acme.com', ['bob@example.com'])).toEqual(
        new Map([['bob@example.com', added]]),
      );
    },
  );

  test('stays unchanged when Gmail refuses it', async () => {
    const suppressions = startSuppressions();
    const added = await suppressions.add('bob@example.com', null);
    await suppressions.attempted(refusing('bob@example.com', NO_SUCH_USER));
    expect(await suppressions.get('bob@example.com')).toEqual(added);
    expect(suppressions.errors).toEqual([]);
  });

  test('replaces a refusal that is being stored at the same time', async () => {
    const suppressions = startSuppressions();
    const attempted = suppressions.attempted(refusing('bob@example.com', NO_SUCH_USER));
    const [added] = await Promise.all([suppressions.add('bob@example.com', null), attempted]);
    expect(await suppressions.get('bob@example.com')).toEqual(added);
  });

  test('is no longer suppressed once removed', async () => {
    const suppressions = startSuppressions();
    await suppressions.add('bob@example.com', null);
    expect(await suppressions.remove('bob@example.com')).toBe(true);
    expect(await suppressions.find(BOT, ['bob@example.com'])).toEqual(new Map());
  });
});

describe('a new message', () => {
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

  test('is unchanged if no recipient is suppressed', () => {
    const delivery = toDelivery(['ada@example.com']);
    expect(applySuppressions(delivery, new Map())).toBe(delivery);
  });

  test('goes to the remaining recipients; suppressed ones carry the reply of Gmail', () => {
    const delivery = toDelivery(['ada@example.com', 'bob@example.com']);
    expect(applySuppressions(delivery, foundOf(aSuppression('bob@example.com')))).toEqual({
      ...delivery,
      recipients: [
        { email: 'ada@example.com', status: 'pending', smtp: null },
        { email: 'bob@example.com', status: 'suppressed', smtp: NO_SUCH_USER },
      ],
      warnings: [
        { code: 'recipients_suppressed', detail: 'Not sent to suppressed addresses: bob@example.com.' },
      ],
    });
  });

  test('is refused if all recipients are suppressed, with reason, date and fix per field', () => {
    const delivery = toDelivery(['bob@example.com'], {
      cc: [named('Eve@example.com')],
      bcc: [named('bob@example.com')],
    });
    const manual = aSuppression('Eve@example.com', { reason: 'manual', accounts: null, smtp: null });
    const refused = 'Gmail permanently refused bob@example.com on 2027-01-01T09:00:00.000Z (550 5.1.1).';
    const added = 'Eve@example.com was added manually on 2027-01-01T09:00:00.000Z.';
    const fix = (email: string) => ` To send to it again, DELETE /suppressions/${email}.`;
    let error: unknown;
    try {
      applySuppressions(delivery, foundOf(aSuppression('bob@example.com'), manual));
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({
      code: 'recipient_suppressed',
      message: expect.stringMatching(/^\/to\/0: Gmail permanently refused .*\(and 2 more, see errors\)$/),
      errors: [
        { pointer: '/to/0', code: 'recipient_suppressed', detail: refused + fix('bob%40example.com') },
        { pointer: '/cc/0', code: 'recipient_suppressed', detail: added + fix('Eve%40example.com') },
        { pointer: '/bcc/0', code: 'recipient_suppressed', detail: refused + fix('bob%40example.com') },
      ],
    });
  });
});

test('a failed attempt without refused recipients suppresses no address', async () => {
  const suppressions = startSuppressions();
  await suppressions.attempted(aFailure(aFault('content_rejected', { retryable: false })));
  expect(await suppressions.list({ limit: 1, after: null })).toEqual([]);
});
