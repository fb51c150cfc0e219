import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { type Account, createAccount } from '../../src/core/accounts/account.ts';
import { type AccountState, newAccountState } from '../../src/core/accounts/account-state.ts';
import type { Permit } from '../../src/core/accounts/permit.ts';
import type { Fault } from '../../src/core/delivery/outcome.ts';
import { AppError } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import type { SharedValue } from '../../src/core/ports/shared-state.ts';
import type { Allowance } from '../../src/core/quota.ts';
import { HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { totalUsage } from '../../src/core/usage.ts';
import { AMPLE, aSharedValue } from '../helpers/core.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';
import { shareValue } from '../helpers/shared-state.ts';
import { aNotice } from '../helpers/webhook-notice.ts';

const DELIVERY = aDelivery();
const SENT = anAcceptance(['ada@example.com']);
const never = new AbortController().signal;

/**
 * An instance that is silent for this long counts as gone. Each renews its lease every two seconds.
 */
const LEASE = 15 * SECOND;

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date'],
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const now = () => performance.timeOrigin + performance.now();

function refusal(code: Fault['error']['code'], backoffMs: readonly number[]) {
  return aFailure(aFault(code, { scope: 'account', backoffMs }));
}

async function turns(): Promise<void> {
  for (let i = 0; i < 40; i++) await nextTurn();
}

async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    await vi.advanceTimersByTimeAsync(50);
    await turns();
  }
}

interface Setup {
  readonly count?: number;
  readonly connections?: number;
  readonly connectionsHere?: number;
  readonly allowance?: Allowance;
  readonly rate?: number | null;
  readonly breaker?: AccountState['breaker']['state'];
}

interface Instance {
  readonly account: Account;
  /** `paused: …`, with `again` if that is not new. */
  readonly emitted: readonly string[];
  /** Cuts it off from shared state, as if its machine were gone. */
  kill(): void;
}

/**
 * With conflicts, each change runs first on outdated state, to no effect, as if another instance
 * had been faster.
 */
describe.each([
  ['without conflicts', false],
  ['with a conflict at each change', true],
])('the instances of an account %s', (_, conflicting) => {
  /** Instances that have all joined and know of each other. */
  async function start(setup: Setup = {}) {
    const {
      count = 2,
      connections = 20,
      connectionsHere = connections,
      allowance = AMPLE,
      rate = null,
      breaker = 'closed',
    } = setup;
    const shared = shareValue(newAccountState(now()), { conflicting });
    const instances = Array.from({ length: count }, (): Instance => {
      const events = createEvents();
      const emitted: string[] = [];
      events.on('account.paused', (_user, { code }, _until, isNews) =>
        emitted.push(`paused: ${code}${isNews ? '' : ' again'}`),
      );
      events.on('account.resumed', () => emitted.push('resumed'));
      const own = shared.open();
      let isDead = false;
      const mortal: SharedValue<AccountState> = {
        get value() {
          return own.value;
        },
        get usage() {
          return own.usage;
        },
        read: async () => (isDead ? Promise.reject(new AppError('queue_unavailable')) : own.read()),
        change: async (edit) =>
          isDead ? Promise.reject(new AppError('queue_unavailable')) : own.change(edit),
      };
      const account = createAccount('bot@acme.com', {
        events,
        noticesOf: (type, { user, pause }) => [aNotice({ type, about: user, body: pause?.error.code ?? '' })],
        sharedState: { shared: true, now },
        state: mortal,
        allowance,
        rate,
        connections,
        connectionsHere,
        backoffScale: 1,
        closeIdleConnections: () => 0,
      });
      return { account, emitted, kill: () => (isDead = true) };
    });
    for (const { account } of instances) await account.join();
    await shared.open().change((state) => {
      state.breaker.state = breaker;
    });
    await pass(4 * SECOND);
    const [first, second] = instances as [Instance, Instance, ...Instance[]];
    return { shared, instances, first, second };
  }

  /** Requests a number of permits at each instance, and collects them in order. */
  function request(instances: readonly Instance[], times: number) {
    const stop = new AbortController();
    const permits: Permit[] = [];
    const pauses: string[] = [];
    const requests = instances.flatMap(({ account }) =>
      Array.from({ length: times }, async () => {
        const result = await account.admit(DELIVERY, stop.signal);
        if (result?.kind === 'admitted') permits.push(result.permit);
        else if (result) pauses.push(result.pause.error.code);
      }),
    );
    return {
      permits,
      pauses,
      async giveUp() {
        stop.abort();
        await Promise.all(requests);
      },
    };
  }

  /** The permits that are given within a second, of a number requested at each instance. */
  async function permitsWithinSecond(
    instances: readonly Instance[],
    times: number,
  ): Promise<readonly Permit[]> {
    const { permits, giveUp } = request(instances, times);
    await pass(SECOND);
    await giveUp();
    return permits;
  }

  async function onePermit(instance: Instance): Promise<Permit> {
    const [permit] = await permitsWithinSecond([instance], 1);
    if (!permit) throw new Error('not admitted');
    return permit;
  }

  describe('one of which reaches no server', () => {
    const lost = (waitMs: number) =>
      aFailure(aFault('connect_failed', { scope: 'connection', noSession: true, backoffMs: [waitMs] }));

    /** Whether a worker gets a connection within a second. */
    async function isConnected({ account }: Instance, worker: number): Promise<boolean> {
      const stop = new AbortController();
      let isReady = false;
      const waiting = account.waitForConnection(worker, stop.signal).then(() => {
        isReady ||= !stop.signal.aborted;
      });
      await pass(SECOND);
      stop.abort();
      await waiting;
      return isReady;
    }

    test('go on sending through the other, which takes over the mail', async () => {
      const { first, second } = await start();
      await (await onePermit(first)).settle(lost(MINUTE));
      await pass(3 * SECOND);
      expect(first.account.status().pause?.error.code).toBe('connect_failed');
      expect(second.account.status().pause).toBeNull();
      expect(await permitsWithinSecond([second], 3)).toHaveLength(3);
      expect([
        await isConnected(first, 0),
        await isConnected(first, 1),
        await isConnected(second, 1),
      ]).toEqual([false, false, true]);
    });

    test('probe with one worker now and then, and share the mail again after a session', async () => {
      const { first } = await start();
      await (await onePermit(first)).settle(lost(5 * SECOND));
      await pass(6 * SECOND);
      expect([await isConnected(first, 0), await isConnected(first, 1)]).toEqual([true, false]);
      await (await onePermit(first)).settle(SENT);
      await pass(SECOND);
      expect(first.account.status().pause).toBeNull();
      expect(await isConnected(first, 1)).toBe(true);
    });

    test.each([
      ['left', async ({ account }: Instance) => account.leave()],
      ['vanished', async ({ kill }: Instance) => void kill()],
    ])('report once that it resumed if it has %s', async (_how, end) => {
      const { shared, first, second } = await start();
      for (let i = 0; i < 2; i++) {
        await (await onePermit(first)).settle(lost(SECOND));
        await pass(2 * SECOND);
      }
      expect(first.emitted).toEqual(['paused: connect_failed']);
      await end(first);
      await pass(LEASE + 3 * SECOND);
      expect(second.emitted).toEqual([]);
      for (let i = 0; i < 2; i++) await (await onePermit(second)).settle(SENT);
      expect(second.emitted).toEqual(['resumed']);
      expect(shared.storedNotices.map(({ type }) => type)).toEqual(['account.paused', 'account.resumed']);
    });

    test('report nothing if it leaves after a single failure', async () => {
      const { first, second } = await start();
      await (await onePermit(first)).settle(lost(SECOND));
      await first.account.leave();
      await (await onePermit(second)).settle(SENT);
      expect(second.emitted).toEqual([]);
    });

    test('report that it resumed once the account is not paused either', async () => {
      const { shared, first } = await start();
      await (await onePermit(first)).settle(refusal('daily_limit_reached', [SECOND]));
      for (let i = 0; i < 2; i++) await first.account.probe(async () => lost(SECOND).fault, never);
      // A login does not show whether the limit still holds.
      await first.account.probe(async () => null, never);
      const notified = () => shared.storedNotices.map(({ type, body }) => [type, body]);
      const paused = [
        ['account.paused', 'daily_limit_reached'],
        ['account.paused', 'connect_failed'],
      ];
      expect(notified()).toEqual(paused);
      await pass(20 * MINUTE);
      await (await onePermit(first)).settle(SENT);
      expect(notified()).toEqual([...paused, ['account.resumed', '']]);
    });

    test('leave no mail to an instance that reaches none either, or that has left', async () => {
      const { first, second } = await start();
      await (await onePermit(first)).settle(lost(MINUTE));
      await (await onePermit(second)).settle(lost(MINUTE));
      await pass(SECOND);
      expect([await isConnected(first, 1), await isConnected(second, 1)]).toEqual([true, true]);
      await second.account.leave();
      expect(await isConnected(first, 1)).toBe(true);
    });
  });

  describe('probe', () => {
    test('once for all until the first login has worked, and then admit all', async () => {
      const { instances } = await start({ count: 3, breaker: 'half-open' });
      const { permits } = request(instances, 3);
      await pass(2 * SECOND);
      expect(permits).toHaveLength(1);
      permits[0]?.messageStarted();
      permits[0]?.envelopeAccepted();
      await pass(SECOND);
      expect(permits).toHaveLength(9);
    });

    test('once for all when a pause is over, at whichever instance it began', async () => {
      const { instances, first } = await start({ count: 3 });
      await (await onePermit(first)).settle(refusal('bad_credentials', [5 * SECOND]));
      await pass(6 * SECOND);
      const { permits } = request(instances, 3);
      await pass(2 * SECOND);
      expect(permits).toHaveLength(1);
    });

    test('without a message only while no other instance probes', async () => {
      const { first, second } = await start({ breaker: 'half-open' });
      const permit = await onePermit(first);
      const login = vi.fn(async () => null);
      const probed = second.account.probe(login, never);
      await pass(2 * SECOND);
      expect(login).not.toHaveBeenCalled();
      await permit.settle(SENT);
      await pass(SECOND);
      expect(await probed).toBeNull();
      expect(login).toHaveBeenCalledTimes(1);
    });
  });

  describe('pause', () => {
    test('together, and resume together when one of them has probed', async () => {
      const { first, second } = await start();
      await (await onePermit(first)).settle(refusal('bad_credentials', [5 * SECOND]));
      const { pauses, permits } = request([second], 2);
      await pass(SECOND);
      expect([pauses, permits]).toEqual([['bad_credentials', 'bad_credentials'], []]);
      expect(second.account.isPaused).toBe(true);
      expect((await second.account.readStatus()).pause).toMatchObject({ error: { code: 'bad_credentials' } });
      await pass(5 * SECOND);
      await (await onePermit(second)).settle(SENT);
      expect((await first.account.readStatus()).pause).toBeNull();
      expect(await permitsWithinSecond([first], 1)).toHaveLength(1);
      expect([first.emitted, second.emitted]).toEqual([['paused: bad_credentials'], ['resumed']]);
    });

    test('and report it as new once, even if several find the same fault', async () => {
      const { first, second } = await start();
      const [one, other] = [await onePermit(first), await onePermit(second)];
      await one.settle(refusal('bad_credentials', [5 * SECOND]));
      await other.settle(refusal('bad_credentials', [5 * SECOND]));
      await pass(6 * SECOND);
      await (await onePermit(second)).settle(refusal('bad_credentials', [5 * SECOND]));
      expect([first.emitted, second.emitted]).toEqual([
        ['paused: bad_credentials'],
        ['paused: bad_credentials again', 'paused: bad_credentials again'],
      ]);
    });

    test('and store one notice for each change, with the state that it led to', async () => {
      const { shared, first, second } = await start();
      const [one, other] = [await onePermit(first), await onePermit(second)];
      await one.settle(refusal('bad_credentials', [5 * SECOND]));
      await other.settle(refusal('bad_credentials', [5 * SECOND]));
      const refused = aFault('daily_limit_reached', { scope: 'account' });
      expect(await second.account.probe(async () => refused, never)).toBe(refused);
      await second.account.probe(async () => null, never);
      await pass(SECOND);
      await (await onePermit(first)).settle(SENT);
      expect(shared.storedNotices.map(({ type, about, body }) => [type, about, body])).toEqual([
        ['account.paused', 'bot@acme.com', 'bad_credentials'],
        ['account.paused', 'bot@acme.com', 'daily_limit_reached'],
        ['account.resumed', 'bot@acme.com', ''],
      ]);
    });

    test('for longer after each failed probe, at whichever instance', async () => {
      const { first, second } = await start();
      const waits = [5 * SECOND, 20 * SECOND, MINUTE];
      await (await onePermit(first)).settle(refusal('bad_credentials', waits));
      await pass(6 * SECOND);
      const { pause } = await (await onePermit(second)).settle(refusal('bad_credentials', waits));
      expect(pause?.forMs).toBeGreaterThan(5 * SECOND);
      expect(pause?.forMs).toBeLessThanOrEqual(20 * SECOND);
    });
  });

  describe('together', () => {
    test('send no more than the daily limit, attempts under way included', async () => {
      const { shared, instances } = await start({
        allowance: { messages: 10, recipients: 1000, reserve: 0 },
      });
      const given = await permitsWithinSecond(instances, 25);
      expect(given).toHaveLength(10);
      await Promise.all(given.map((permit, i) => (i % 2 === 0 ? permit.settle(SENT) : permit.release())));
      expect(totalUsage(shared.storedUsage, now())).toEqual({ messages: 5, recipients: 5 });
      const more = await permitsWithinSecond(instances, 25);
      expect(more).toHaveLength(5);
      await Promise.all(more.map((permit) => permit.settle(SENT)));
      expect(await permitsWithinSecond(instances, 5)).toEqual([]);
      for (const { account } of instances)
        expect((await account.readStatus()).quota.messages).toMatchObject({ limit: 10, used: 10 });
    });

    test('keep to the rate', async () => {
      const { instances } = await start({ rate: 10 });
      const times: number[] = [];
      const stop = new AbortController();
      const workers = instances.flatMap(({ account }) =>
        Array.from({ length: 3 }, async () => {
          for (;;) {
            const result = await account.admit(DELIVERY, stop.signal);
            if (result?.kind !== 'admitted') return;
            result.permit.messageStarted();
            times.push(performance.now());
            result.permit.envelopeAccepted();
            await result.permit.settle(SENT);
          }
        }),
      );
      await pass(6 * SECOND);
      stop.abort();
      await Promise.all(workers);
      const busiest = Math.max(
        ...times.map((from) => times.filter((at) => at >= from && at < from + SECOND).length),
      );
      expect(busiest).toBeLessThanOrEqual(10);
      expect(times.length).toBeGreaterThan(40);
    });

    test('keep to the rate while messages of another instance are on their way', async () => {
      const { first, second } = await start({ rate: 2 });
      const { permits: sent } = request([first], 2);
      await pass(3 * SECOND);
      expect(sent).toHaveLength(2);
      for (const permit of sent) permit.messageStarted();
      const { permits } = request([second], 2);
      await pass(3 * SECOND);
      expect(permits).toEqual([]);
      sent[0]?.envelopeAccepted();
      await pass(3 * SECOND);
      expect(permits).toHaveLength(1);
      await sent[1]?.release();
      await pass(3 * SECOND);
      expect(permits).toHaveLength(2);
    });

    test('have no more attempts under way than there are connections', async () => {
      const { instances, first, second } = await start({ connections: 3 });
      const given = await permitsWithinSecond(instances, 5);
      expect(given).toHaveLength(3);
      for (const { account } of instances)
        expect((await account.readStatus()).connections).toMatchObject({ max: 3, busy: 3 });
      await given[0]?.settle(SENT);
      expect(await permitsWithinSecond([first, second], 5)).toHaveLength(1);
    });

    test('halve their limit once when all are asked to slow down', async () => {
      const { instances, first, second } = await start({ connections: 8 });
      const given = await permitsWithinSecond(instances, 4);
      expect(given).toHaveLength(8);
      await Promise.all(given.map((permit) => permit.settle(refusal('throttled', [5 * SECOND]))));
      for (const { account } of instances) expect((await account.readStatus()).connections.allowed).toBe(4);
      await pass(6 * SECOND);
      await (await onePermit(first)).settle(SENT);
      // After a pause they start with one attempt, all of them together.
      expect(await permitsWithinSecond([second, first], 4)).toHaveLength(1);
    });
  });

  describe('free what an instance held', () => {
    test('of the quota, once its lease has expired and not before', async () => {
      const { first, second } = await start({ allowance: { messages: 3, recipients: 1000, reserve: 0 } });
      expect(await permitsWithinSecond([first], 3)).toHaveLength(3);
      first.kill();
      await pass(LEASE - 4 * SECOND);
      expect(await permitsWithinSecond([second], 3)).toEqual([]);
      await pass(4 * SECOND);
      expect(await permitsWithinSecond([second], 3)).toHaveLength(3);
    });

    test('of the probe, once its lease has expired', async () => {
      const { first, second } = await start({ breaker: 'half-open' });
      await onePermit(first);
      first.kill();
      const { permits } = request([second], 1);
      await pass(LEASE - 4 * SECOND);
      expect(permits).toEqual([]);
      await pass(5 * SECOND);
      expect(permits).toHaveLength(1);
    });

    test('of the connections, once its lease has expired', async () => {
      const { shared, first, second } = await start({ connections: 4 });
      expect(Object.values(shared.stored.leases).map(({ connections }) => connections)).toEqual([2, 2]);
      const stop = new AbortController();
      const connected: number[] = [];
      for (const worker of [0, 1, 2, 3])
        void second.account.waitForConnection(worker, stop.signal).then(() => connected.push(worker));
      await pass(SECOND);
      expect(connected).toEqual([0, 1]);
      first.kill();
      await pass(LEASE + 3 * SECOND);
      expect(connected).toEqual([0, 1, 2, 3]);
    });

    test('of the probe and the connections, at once when it leaves', async () => {
      const { first, second } = await start({ breaker: 'half-open', connections: 4 });
      await onePermit(first);
      await first.account.leave();
      const [permit] = await permitsWithinSecond([second], 1);
      expect(permit).toBeDefined();
      await pass(3 * SECOND);
      const stop = new AbortController();
      await second.account.waitForConnection(3, stop.signal);
    });
  });

  test('an instance without a lease admits nothing until it has joined', async () => {
    const { shared, first } = await start();
    const absent = createAccount('bot@acme.com', {
      events: createEvents(),
      sharedState: { shared: true, now },
      state: shared.open(),
      allowance: AMPLE,
      rate: null,
      connections: 20,
      connectionsHere: 20,
      backoffScale: 1,
      closeIdleConnections: () => 0,
    });
    const late: Instance = { account: absent, emitted: [], kill() {} };
    expect(await permitsWithinSecond([late], 3)).toEqual([]);
    expect(await permitsWithinSecond([first], 1)).toHaveLength(1);
    await absent.join();
    expect(await permitsWithinSecond([late], 3)).toHaveLength(3);
  });
});

describe('a process that starts with the state of the previous one', () => {
  async function restart(change: (state: AccountState) => void) {
    const state = newAccountState(now());
    state.breaker.state = 'closed';
    state.leases.previous = {
      connections: 3,
      expiresAt: Number.MAX_SAFE_INTEGER,
      messages: 3,
      recipients: 30,
      uncommitted: 5,
    };
    change(state);
    const account = createAccount('bot@acme.com', {
      events: createEvents(),
      sharedState: createMemorySharedState(),
      state: aSharedValue(state),
      allowance: AMPLE,
      rate: 5,
      connections: 3,
      connectionsHere: 3,
      backoffScale: 1,
      closeIdleConnections: () => 0,
    });
    await account.join();
    return account;
  }

  function pausedBy(code: Fault['error']['code']): (state: AccountState) => void {
    return ({ breaker }) => {
      breaker.state = 'open';
      breaker.pause = { error: aFault(code, { scope: 'account' }).error, since: 0, until: now() + HOUR };
    };
  }

  const admit = (account: Account) => account.admit(DELIVERY, never);

  test('has no attempts under way, has all connections, and starts with a probe', async () => {
    const account = await restart((state) => {
      state.probing = 'previous';
    });
    expect(account.status().connections).toEqual({ max: 3, allowed: 3, busy: 0 });
    await account.waitForConnection(2, never);
    expect(await admit(account)).toHaveProperty('permit');
    const stop = new AbortController();
    const second = account.admit(DELIVERY, stop.signal);
    await turns();
    await vi.advanceTimersByTimeAsync(2 * SECOND);
    stop.abort();
    expect(await second).toBeNull();
  });

  test('probes at once after a fault that may have been fixed meanwhile', async () => {
    const account = await restart(pausedBy('bad_credentials'));
    expect(account.status().pause).toMatchObject({ error: { code: 'bad_credentials' } });
    expect(await admit(account)).toHaveProperty('permit');
  });

  test.each(['daily_limit_reached', 'throttled', 'login_throttled'] as const)(
    'keeps waiting after a fault that only time fixes: %s',
    async (code) => {
      const account = await restart(pausedBy(code));
      const result = await admit(account);
      expect(result).toMatchObject({ pause: { error: { code } } });
      expect(result?.kind === 'deferred' && result.pause.forMs).toBeGreaterThan(HOUR - MINUTE);
    },
  );
});
