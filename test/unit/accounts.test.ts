import { describe, expect, onTestFinished, test } from 'vitest';
import type { Delivery } from '../../src/core/delivery/delivery.ts';
import { type Core, type CoreSetup, type Send, startCore } from '../helpers/core.ts';
import { aDelivery, aMessage } from '../helpers/delivery.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';

const SENT: Send = (job) => anAcceptance(job.recipients);
const REFUSED = aFailure(aFault('bad_credentials', { scope: 'account', backoffMs: [1e9] }));
const never = new AbortController().signal;

const SALES = { user: 'sales@acme.com', aliases: ['hello@acme.com', 'shared@acme.com'] };
const SUPPORT = {
  user: 'support@acme.com',
  aliases: ['help@acme.com', 'shared@acme.com'],
  from: { email: 'desk@acme.com', name: 'Desk' },
};

function start(send: Send, setup: CoreSetup = {}): Core {
  const core = startCore(send, { senders: [SALES, SUPPORT], ...setup });
  onTestFinished(() => core[Symbol.asyncDispose]());
  return core;
}

function from(email: string, name: string | null = null): Parameters<typeof aMessage>[0] {
  return { envelope: { ...aMessage().envelope, from: { email, name } } };
}

async function sendFrom(core: Core, email: string): Promise<Delivery> {
  return core.outcomeOf((await core.accept(from(email))).id);
}

describe('the account of a message', () => {
  test.each([
    ['sales@acme.com', 'sales@acme.com'],
    ['hello@acme.com', 'sales@acme.com'],
    ['support@acme.com', 'support@acme.com'],
    ['help@acme.com', 'support@acme.com'],
    ['desk@acme.com', 'support@acme.com'],
    ['HELP@acme.com', 'support@acme.com'],
  ])('with From %s is %s', async (email, user) => {
    const core = start(SENT);
    expect(await sendFrom(core, email)).toMatchObject({ status: 'sent', attempts: [{ account: user }] });
    expect(core.jobs).toMatchObject([{ user, envelope: { from: { email } } }]);
  });

  test('is the one with the domain of From, or another with that domain if it is paused', async () => {
    const send: Send = (job, user) => (user === SALES.user ? REFUSED : anAcceptance(job.recipients));
    const senders = [
      { user: SALES.user, domains: ['acme.com', 'acme.de'] },
      { user: SUPPORT.user, domains: ['acme.de'] },
    ];
    const core = start(SENT, { senders });
    expect(await sendFrom(core, 'Anyone@ACME.com')).toMatchObject({ attempts: [{ account: SALES.user }] });
    expect(() => core.accounts.route(aMessage(from('a@mail.acme.com')), { test: false })).toThrow(
      'No account owns a@mail.acme.com',
    );
    const failing = start(send, { senders });
    const paused = new Promise((resolve) => failing.events.once('account.paused', resolve));
    await failing.accept(from('a@acme.com'));
    await paused;
    expect(await sendFrom(failing, 'a@acme.de')).toMatchObject({ attempts: [{ account: SUPPORT.user }] });
  });

  test('can be replaced while the service runs', async () => {
    const core = start(SENT);
    core.accounts.replace(core.senders.slice(1));
    expect(core.accounts.users()).toEqual([SUPPORT.user]);
    expect(core.accounts.addressesOf(SALES.user)).toEqual(expect.arrayContaining(SALES.aliases));
    expect(core.accounts.defaultFrom).toEqual(SUPPORT.from);
    expect(() => core.accounts.route(aMessage(from('sales@acme.com')), { test: false })).toThrow();
    await expect(core.accounts.verify(SALES.user, never)).rejects.toThrow('There is no account');
    // Its last attempts may still end: events and responses about them need its status.
    expect(core.accounts.status(SALES.user).user).toBe(SALES.user);
    core.accounts.replace(core.senders);
    expect(core.accounts.users()).toEqual([SALES.user, SUPPORT.user]);
  });

  test('is the owner of the address with the most quota left', async () => {
    const core = start(SENT, { allowance: { messages: 10, recipients: 100, reserve: 0 } });
    for (let i = 0; i < 6; i++) await sendFrom(core, 'shared@acme.com');
    expect(core.jobs.map(({ user }) => user).toSorted()).toEqual([
      ...Array(3).fill(SALES.user),
      ...Array(3).fill(SUPPORT.user),
    ]);
    for (let i = 0; i < 4; i++) await sendFrom(core, 'sales@acme.com');
    expect(await sendFrom(core, 'shared@acme.com')).toMatchObject({ attempts: [{ account: SUPPORT.user }] });
  });

  test('is never a fallback for the sandbox', () => {
    const { accounts } = start(SENT);
    const { envelope } = aMessage(from('shared@acme.com'));
    expect(accounts.findFallback(aDelivery({ envelope, account: SALES.user }))).toBe(SUPPORT.user);
    expect(accounts.findFallback(aDelivery({ envelope, account: SALES.user, test: true }))).toBeNull();
  });

  test('is one that is not paused, or the first if all are paused', async () => {
    const core = start((job, user) => (user === SALES.user ? REFUSED : anAcceptance(job.recipients)));
    await core.accept(from('sales@acme.com'));
    await expect.poll(async () => (await core.accounts.list())[0]?.pause).not.toBeNull();
    const delivery = await core.accept(from('shared@acme.com'));
    expect(delivery.account).toBe(SUPPORT.user);
    expect(await core.outcomeOf(delivery.id)).toMatchObject({
      status: 'sent',
      attempts: [{ account: SUPPORT.user }],
    });
    expect(core.jobs).toHaveLength(2);

    const broken = start(() => REFUSED);
    await Promise.all([broken.accept(from('sales@acme.com')), broken.accept(from('support@acme.com'))]);
    await expect.poll(async () => (await broken.accounts.list()).every(({ pause }) => pause)).toBe(true);
    expect((await broken.accept(from('shared@acme.com'))).account).toBe(SALES.user);
  });

  test('changes to another owner of the address when it is paused', async () => {
    const core = start((job, user) => (user === SALES.user ? REFUSED : anAcceptance(job.recipients)), {
      login: false,
    });
    const accepted = await Promise.all(
      Array.from({ length: 20 }, () => core.accept(from('shared@acme.com'))),
    );
    const outcomes = await Promise.all(accepted.slice(1).map(({ id }) => core.outcomeOf(id)));
    expect(
      outcomes.every(({ status, attempts }) => status === 'sent' && attempts[0]?.account === SUPPORT.user),
    ).toBe(true);
    expect(core.jobs.filter(({ user }) => user === SALES.user).length).toBeLessThanOrEqual(1);
  });

  test('does not change if the other owner cannot send either', async () => {
    const core = start(() => REFUSED, { login: false });
    const accepted = await Promise.all(
      Array.from({ length: 10 }, () => core.accept(from('shared@acme.com'))),
    );
    await Promise.all([core.accept(from('sales@acme.com')), core.accept(from('support@acme.com'))]);
    await expect.poll(async () => (await core.store.get(accepted[9]?.id ?? ''))?.status).toBe('deferred');
    expect(core.jobs).toHaveLength(2);
  });

  test('does not delay the messages of other accounts', async () => {
    const core = start((job, user) =>
      user === SALES.user ? new Promise(() => {}) : anAcceptance(job.recipients),
    );
    const sending = await Promise.all(Array.from({ length: 5 }, () => core.accept(from('sales@acme.com'))));
    expect(await sendFrom(core, 'support@acme.com')).toMatchObject({ status: 'sent' });
    expect((await core.store.get(sending[0]?.id ?? ''))?.status).toBe('sending');
    core[Symbol.asyncDispose] = async () => {};
  });
});

describe('a From that no account owns', () => {
  test('is refused with an error for the field', async () => {
    const core = start(SENT);
    await expect(core.accept(from('ceo@acme.com'))).rejects.toMatchObject({
      code: 'sender_not_allowed',
      errors: [{ pointer: '/from', detail: expect.stringContaining('ceo@acme.com') }],
    });
    expect(core.jobs).toEqual([]);
  });

  test('is rewritten if FROM_POLICY says so: the address moves to Reply-To and the name stays', async () => {
    const core = start(SENT, { fromPolicy: 'rewrite' });
    const delivery = await core.accept(from('ceo@partner.example', 'The CEO'));
    expect(delivery.messageId).toBe(`<${delivery.id}@acme.com>`);
    await core.outcomeOf(delivery.id);
    expect(core.jobs).toMatchObject([
      {
        user: SALES.user,
        envelope: { from: { email: 'sales@acme.com', name: 'The CEO' } },
        content: { replyTo: [{ email: 'ceo@partner.example', name: 'The CEO' }] },
      },
    ]);
  });

  test('is rewritten without changing a Reply-To of the client', async () => {
    const core = start(SENT, { fromPolicy: 'rewrite' });
    const replyTo = [{ email: 'help@partner.example', name: null }];
    await core.outcomeOf(
      (await core.accept({ ...from('ceo@partner.example'), content: { ...aMessage().content, replyTo } })).id,
    );
    expect(core.jobs[0]?.content.replyTo).toEqual(replyTo);
  });

  test('is sent unchanged by the first account if FROM_POLICY allows it', async () => {
    const core = start(SENT, { fromPolicy: 'allow' });
    expect(await sendFrom(core, 'ceo@partner.example')).toMatchObject({
      attempts: [{ account: SALES.user }],
    });
    expect(core.jobs[0]?.envelope.from.email).toBe('ceo@partner.example');
  });
});

describe('a requested probe', () => {
  function startBroken(setup: CoreSetup = {}) {
    let works = false;
    let logins = 0;
    const core = start((job) => (works ? anAcceptance(job.recipients) : REFUSED), {
      senders: [SALES],
      login: false,
      verify: async () => {
        logins += 1;
        return works ? null : (REFUSED.fault ?? null);
      },
      ...setup,
    });
    return { core, heal: () => (works = true), logins: () => logins };
  }

  test('resumes an account that works again, and each message that waited for it goes out once', async () => {
    const { core, heal } = startBroken();
    const accepted = await Promise.all(Array.from({ length: 30 }, () => core.accept(from('sales@acme.com'))));
    await expect.poll(async () => (await core.store.get(accepted[29]?.id ?? ''))?.status).toBe('deferred');
    heal();
    expect(await core.accounts.verify('Sales@acme.com', never)).toMatchObject({
      user: SALES.user,
      pause: null,
    });
    for (const { id } of accepted) expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent' });
    expect(core.jobs).toHaveLength(31);
  });

  test('does not requeue a message that waits for another reason', async () => {
    const greylisted = aFailure(aFault('smtp_temporary_failure', { backoffMs: [1e9] }));
    const core = start(
      (job) => (job.envelope.subject === 'later' ? greylisted : anAcceptance(job.recipients)),
      { senders: [SALES] },
    );
    const later = await core.accept({
      envelope: { ...aMessage().envelope, from: { email: SALES.user, name: null }, subject: 'later' },
    });
    await expect.poll(async () => (await core.store.get(later.id))?.status).toBe('deferred');
    await core.accounts.verify(SALES.user, never);
    await sendFrom(core, SALES.user);
    expect(core.jobs.filter(({ id }) => id === later.id)).toHaveLength(1);
  });

  test('returns the fault of an account that does not work', async () => {
    const { core } = startBroken();
    await core.accept(from('sales@acme.com'));
    await expect.poll(async () => (await core.accounts.list())[0]?.pause).not.toBeNull();
    expect(await core.accounts.verify(SALES.user, never)).toMatchObject({
      pause: { error: { code: 'bad_credentials' } },
    });
  });

  test('is made at most once a minute', async () => {
    const { core, logins } = startBroken();
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, () => core.accounts.verify(SALES.user, never)),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(results.at(-1)).toMatchObject({ reason: { code: 'rate_limited', retryAfter: 60 } });
    expect(logins()).toBe(1);
  });

  test('is not made while Gmail refuses logins as too many', async () => {
    const fault = aFault('login_throttled', { scope: 'account', backoffMs: [2e9] });
    let logins = 0;
    const verify = async () => {
      logins += 1;
      return null;
    };
    const core = start(() => aFailure(fault), { senders: [SALES], login: false, verify });
    await core.accept(from('sales@acme.com'));
    await expect.poll(async () => (await core.accounts.list())[0]?.pause).not.toBeNull();
    await expect(core.accounts.verify(SALES.user, never)).rejects.toMatchObject({
      code: 'rate_limited',
      retryAfter: 1000,
    });
    expect(logins).toBe(0);
  });

  test('waits for a probe that is under way, so that logins do not overlap', async () => {
    const release = Promise.withResolvers<void>();
    const order: string[] = [];
    const core = start(
      async (job) => {
        await release.promise;
        order.push('message');
        return anAcceptance(job.recipients);
      },
      {
        senders: [SALES],
        login: false,
        verify: async () => {
          order.push('verify');
          return null;
        },
      },
    );
    await core.accept(from('sales@acme.com'));
    await expect.poll(() => core.jobs.length).toBe(1);
    const verified = core.accounts.verify(SALES.user, never);
    release.resolve();
    await verified;
    expect(order).toEqual(['message', 'verify']);
  });

  test('of an account at its daily limit lets one message test it: a login cannot', async () => {
    let full = true;
    const limit = aFailure(aFault('daily_limit_reached', { scope: 'account' }));
    const core = start((job) => (full ? limit : anAcceptance(job.recipients)), {
      senders: [SALES],
      backoffScale: 1,
    });
    const accepted = await Promise.all(Array.from({ length: 5 }, () => core.accept(from('sales@acme.com'))));
    await expect.poll(async () => (await core.store.get(accepted[4]?.id ?? ''))?.status).toBe('deferred');
    full = false;
    await core.accounts.verify(SALES.user, never);
    for (const { id } of accepted) expect(await core.outcomeOf(id)).toMatchObject({ status: 'sent' });
    expect(core.jobs).toHaveLength(6);
    expect((await core.accounts.list())[0]?.pause).toBeNull();
  });

  test('of an unknown account fails with not_found, and with the fault if no server can be reached', async () => {
    const core = start(SENT, {
      senders: [SALES],
      verify: async () => aFault('connect_timeout', { scope: 'connection' }),
    });
    await expect(core.accounts.verify('unknown@acme.com', never)).rejects.toMatchObject({
      code: 'not_found',
    });
    await expect(core.accounts.verify(SALES.user, never)).rejects.toMatchObject({ code: 'connect_timeout' });
    expect((await core.accounts.list())[0]?.pause).toBeNull();
  });
});
