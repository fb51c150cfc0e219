import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { type Account, createAccount, type Permit } from '../../src/core/accounts/account.ts';
import { type AccountBook, newAccountBook } from '../../src/core/accounts/account-state.ts';
import type { Fault } from '../../src/core/delivery/outcome.ts';
import { AppError } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import type { SharedValue } from '../../src/core/ports/shared-state.ts';
import type { Allowance } from '../../src/core/quota.ts';
import { AMPLE, aSharedValue } from '../helpers/core.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';
import { shareValue } from '../helpers/shared-state.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DELIVERY = aDelivery();
const SENT = anAcceptance(['ada@example.com']);
const never = new AbortController().signal;

/** An instance that is not heard of for so long is gone; each says every two seconds that it is there. */
const PRESENT_FOR = 15 * SECOND;

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
  readonly state?: AccountBook['gate']['state'];
}

interface Instance {
  readonly account: Account;
  /** `paused: …`, with `again` where that is no news. */
  readonly told: readonly string[];
  /** Takes from it all that it shares, as if its machine had gone. */
  kill(): void;
}

/** Where every change is made on what is known here first, to no effect, as on a server where another was first; and where not. */
describe.each([
  ['that meet no conflict', false],
  ['whose every change meets a conflict', true],
])('the instances of an account %s', (_, conflicting) => {
  /** Instances that have all joined, and know of each other. */
  async function start(setup: Setup = {}) {
    const {
      count = 2,
      connections = 20,
      connectionsHere = connections,
      allowance = AMPLE,
      rate = null,
      state = 'ready',
    } = setup;
    const shared = shareValue(newAccountBook(now()), { conflicting });
    const instances = Array.from({ length: count }, (): Instance => {
      const events = createEvents();
      const told: string[] = [];
      events.on('account.paused', (_user, { code }, _until, isNews) =>
        told.push(`paused: ${code}${isNews ? '' : ' again'}`),
      );
      events.on('account.resumed', () => told.push('resumed'));
      const own = shared.open();
      let isDead = false;
      const dying: SharedValue<AccountBook> = {
        get value() {
          return own.value;
        },
        read: async () => (isDead ? Promise.reject(new AppError('queue_unavailable')) : own.read()),
        change: async (edit) =>
          isDead ? Promise.reject(new AppError('queue_unavailable')) : own.change(edit),
      };
      const account = createAccount('bot@acme.com', {
        events,
        sharedState: { shared: true, now },
        book: dying,
        allowance,
        rate,
        connections,
        connectionsHere,
        backoffScale: 1,
        keepConnections: () => 0,
      });
      return { account, told, kill: () => (isDead = true) };
    });
    for (const { account } of instances) await account.join();
    await shared.open().change(({ gate }) => {
      gate.state = state;
    });
    await pass(4 * SECOND);
    const [first, second] = instances as [Instance, Instance, ...Instance[]];
    return { shared, instances, first, second };
  }

  /** Asks for so many permits at each, and keeps those that are given, in the order they are given. */
  function ask(instances: readonly Instance[], times: number) {
    const stop = new AbortController();
    const permits: Permit[] = [];
    const pauses: string[] = [];
    const asked = instances.flatMap(({ account }) =>
      Array.from({ length: times }, async () => {
        const answer = await account.admit(DELIVERY, stop.signal);
        if (answer && 'permit' in answer) permits.push(answer.permit);
        else if (answer) pauses.push(answer.pause.error.code);
      }),
    );
    return {
      permits,
      pauses,
      async giveUp() {
        stop.abort();
        await Promise.all(asked);
      },
    };
  }

  /** How many of so many that ask at each are let go within a second. */
  async function givenSoon(instances: readonly Instance[], times: number): Promise<readonly Permit[]> {
    const { permits, giveUp } = ask(instances, times);
    await pass(SECOND);
    await giveUp();
    return permits;
  }

  async function onePermit(instance: Instance): Promise<Permit> {
    const [permit] = await givenSoon([instance], 1);
    if (!permit) throw new Error('not admitted');
    return permit;
  }

  describe('of which one reaches no server', () => {
    const lost = (waitMs: number) =>
      aFailure(aFault('connect_failed', { scope: 'connection', noSession: true, backoffMs: [waitMs] }));

    /** Whether the lane may take a message within a second. */
    async function isSeated({ account }: Instance, lane: number): Promise<boolean> {
      const stop = new AbortController();
      let seated = false;
      const waiting = account.waitForConnection(lane, stop.signal).then(() => {
        seated ||= !stop.signal.aborted;
      });
      await pass(SECOND);
      stop.abort();
      await waiting;
      return seated;
    }

    test('send on by the other, which takes what there is', async () => {
      const { first, second } = await start();
      await (await onePermit(first)).settle(lost(MINUTE));
      await pass(3 * SECOND);
      expect(first.account.state().pause?.error.code).toBe('connect_failed');
      expect(second.account.state().pause).toBeNull();
      expect(await givenSoon([second], 3)).toHaveLength(3);
      expect([await isSeated(first, 0), await isSeated(first, 1), await isSeated(second, 1)]).toEqual([
        false,
        false,
        true,
      ]);
    });

    test('probe now and then by one lane, and share again once a session comes about', async () => {
      const { first } = await start();
      await (await onePermit(first)).settle(lost(5 * SECOND));
      await pass(6 * SECOND);
      expect([await isSeated(first, 0), await isSeated(first, 1)]).toEqual([true, false]);
      await (await onePermit(first)).settle(SENT);
      await pass(SECOND);
      expect(first.account.state().pause).toBeNull();
      expect(await isSeated(first, 1)).toBe(true);
    });

    test('leave nothing to one that reaches none either, or that has gone', async () => {
      const { first, second } = await start();
      await (await onePermit(first)).settle(lost(MINUTE));
      await (await onePermit(second)).settle(lost(MINUTE));
      await pass(SECOND);
      expect([await isSeated(first, 1), await isSeated(second, 1)]).toEqual([true, true]);
      await second.account.leave();
      expect(await isSeated(first, 1)).toBe(true);
    });
  });

  describe('probe', () => {
    test('once for all before the first login has worked, and then all go', async () => {
      const { instances } = await start({ count: 3, state: 'unproven' });
      const { permits } = ask(instances, 3);
      await pass(2 * SECOND);
      expect(permits).toHaveLength(1);
      permits[0]?.messageStarted();
      permits[0]?.envelopeAccepted();
      await pass(SECOND);
      expect(permits).toHaveLength(9);
    });

    test('once for all when a pause is over, wherever it began', async () => {
      const { instances, first } = await start({ count: 3 });
      await (await onePermit(first)).settle(refusal('bad_credentials', [5 * SECOND]));
      await pass(6 * SECOND);
      const { permits } = ask(instances, 3);
      await pass(2 * SECOND);
      expect(permits).toHaveLength(1);
    });

    test('without a message only when no other instance does', async () => {
      const { first, second } = await start({ state: 'unproven' });
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
    test('together, and whoever probes heals all', async () => {
      const { first, second } = await start();
      await (await onePermit(first)).settle(refusal('bad_credentials', [5 * SECOND]));
      const { pauses, permits } = ask([second], 2);
      await pass(SECOND);
      expect([pauses, permits]).toEqual([['bad_credentials', 'bad_credentials'], []]);
      expect(second.account.isPaused).toBe(true);
      expect((await second.account.readState()).pause).toMatchObject({ error: { code: 'bad_credentials' } });
      await pass(5 * SECOND);
      await (await onePermit(second)).settle(SENT);
      expect((await first.account.readState()).pause).toBeNull();
      expect(await givenSoon([first], 1)).toHaveLength(1);
      expect([first.told, second.told]).toEqual([['paused: bad_credentials'], ['resumed']]);
    });

    test('and tell it as news once, whoever meets it again', async () => {
      const { first, second } = await start();
      const [one, other] = [await onePermit(first), await onePermit(second)];
      await one.settle(refusal('bad_credentials', [5 * SECOND]));
      await other.settle(refusal('bad_credentials', [5 * SECOND]));
      await pass(6 * SECOND);
      await (await onePermit(second)).settle(refusal('bad_credentials', [5 * SECOND]));
      expect([first.told, second.told]).toEqual([
        ['paused: bad_credentials'],
        ['paused: bad_credentials again', 'paused: bad_credentials again'],
      ]);
    });

    test('for longer after each probe that fails, wherever it was made', async () => {
      const { first, second } = await start();
      const waits = [5 * SECOND, 20 * SECOND, MINUTE];
      await (await onePermit(first)).settle(refusal('bad_credentials', waits));
      await pass(6 * SECOND);
      const pause = await (await onePermit(second)).settle(refusal('bad_credentials', waits));
      expect(pause?.forMs).toBeGreaterThan(5 * SECOND);
      expect(pause?.forMs).toBeLessThanOrEqual(20 * SECOND);
    });
  });

  describe('together', () => {
    test('send no more than the daily limit, with what is under way', async () => {
      const { shared, instances } = await start({
        allowance: { messages: 10, recipients: 1000, reserve: 0 },
      });
      const given = await givenSoon(instances, 25);
      expect(given).toHaveLength(10);
      await Promise.all(given.map((permit, i) => (i % 2 === 0 ? permit.settle(SENT) : permit.release())));
      expect(shared.kept.quota.used).toEqual({ messages: 5, recipients: 5 });
      const more = await givenSoon(instances, 25);
      expect(more).toHaveLength(5);
      await Promise.all(more.map((permit) => permit.settle(SENT)));
      expect(await givenSoon(instances, 5)).toEqual([]);
      for (const { account } of instances)
        expect((await account.readState()).quota.messages).toMatchObject({ limit: 10, used: 10 });
    });

    test('keep to the pace', async () => {
      const { instances } = await start({ rate: 10 });
      const times: number[] = [];
      const stop = new AbortController();
      const lanes = instances.flatMap(({ account }) =>
        Array.from({ length: 3 }, async () => {
          for (;;) {
            const answer = await account.admit(DELIVERY, stop.signal);
            if (!answer || 'pause' in answer) return;
            answer.permit.messageStarted();
            times.push(performance.now());
            answer.permit.envelopeAccepted();
            await answer.permit.settle(SENT);
          }
        }),
      );
      await pass(6 * SECOND);
      stop.abort();
      await Promise.all(lanes);
      const busiest = Math.max(
        ...times.map((from) => times.filter((at) => at >= from && at < from + SECOND).length),
      );
      expect(busiest).toBeLessThanOrEqual(10);
      expect(times.length).toBeGreaterThan(40);
    });

    test('keep to the pace also while messages are on their way, whoever sent them', async () => {
      const { first, second } = await start({ rate: 2 });
      const { permits: sent } = ask([first], 2);
      await pass(3 * SECOND);
      expect(sent).toHaveLength(2);
      for (const permit of sent) permit.messageStarted();
      const { permits } = ask([second], 2);
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
      const given = await givenSoon(instances, 5);
      expect(given).toHaveLength(3);
      for (const { account } of instances)
        expect((await account.readState()).connections).toMatchObject({ max: 3, busy: 3 });
      await given[0]?.settle(SENT);
      expect(await givenSoon([first, second], 5)).toHaveLength(1);
    });

    test('slow down when one is asked to, by half once', async () => {
      const { instances, first, second } = await start({ connections: 8 });
      const given = await givenSoon(instances, 4);
      expect(given).toHaveLength(8);
      await Promise.all(given.map((permit) => permit.settle(refusal('throttled', [5 * SECOND]))));
      for (const { account } of instances) expect((await account.readState()).connections.allowed).toBe(4);
      await pass(6 * SECOND);
      await (await onePermit(first)).settle(SENT);
      // After a pause they begin with one, all of them.
      expect(await givenSoon([second, first], 4)).toHaveLength(1);
    });
  });

  describe('make room', () => {
    test('when one is gone: what it held of the quota is free, not before it is sure', async () => {
      const { first, second } = await start({ allowance: { messages: 3, recipients: 1000, reserve: 0 } });
      expect(await givenSoon([first], 3)).toHaveLength(3);
      first.kill();
      await pass(PRESENT_FOR - 4 * SECOND);
      expect(await givenSoon([second], 3)).toEqual([]);
      await pass(4 * SECOND);
      expect(await givenSoon([second], 3)).toHaveLength(3);
    });

    test('when one is gone that had the probe', async () => {
      const { first, second } = await start({ state: 'unproven' });
      await onePermit(first);
      first.kill();
      const { permits } = ask([second], 1);
      await pass(PRESENT_FOR - 4 * SECOND);
      expect(permits).toEqual([]);
      await pass(5 * SECOND);
      expect(permits).toHaveLength(1);
    });

    test('when one is gone: its seats are taken', async () => {
      const { shared, first, second } = await start({ connections: 4 });
      expect(Object.values(shared.kept.members).map(({ seats }) => seats)).toEqual([2, 2]);
      const stop = new AbortController();
      const seated: number[] = [];
      for (const lane of [0, 1, 2, 3])
        void second.account.waitForConnection(lane, stop.signal).then(() => seated.push(lane));
      await pass(SECOND);
      expect(seated).toEqual([0, 1]);
      first.kill();
      await pass(PRESENT_FOR + 3 * SECOND);
      expect(seated).toEqual([0, 1, 2, 3]);
    });

    test('at once when one leaves, with its probe and its seats', async () => {
      const { first, second } = await start({ state: 'unproven', connections: 4 });
      await onePermit(first);
      await first.account.leave();
      const [permit] = await givenSoon([second], 1);
      expect(permit).toBeDefined();
      await pass(3 * SECOND);
      const stop = new AbortController();
      await second.account.waitForConnection(3, stop.signal);
    });
  });

  test('who is taken to be gone admits nothing until it has said that it is there', async () => {
    const { shared, first } = await start();
    const absent = createAccount('bot@acme.com', {
      events: createEvents(),
      sharedState: { shared: true, now },
      book: shared.open(),
      allowance: AMPLE,
      rate: null,
      connections: 20,
      connectionsHere: 20,
      backoffScale: 1,
      keepConnections: () => 0,
    });
    const late: Instance = { account: absent, told: [], kill() {} };
    expect(await givenSoon([late], 3)).toEqual([]);
    expect(await givenSoon([first], 1)).toHaveLength(1);
    await absent.join();
    expect(await givenSoon([late], 3)).toHaveLength(3);
  });
});

describe('a process that starts anew with the book of the one before', () => {
  const HOUR = 60 * MINUTE;

  async function restart(change: (book: AccountBook) => void) {
    const book = newAccountBook(now());
    book.gate.state = 'ready';
    book.members['the one before'] = {
      seats: 3,
      until: Number.MAX_SAFE_INTEGER,
      messages: 3,
      recipients: 30,
      starting: 5,
    };
    change(book);
    const account = createAccount('bot@acme.com', {
      events: createEvents(),
      sharedState: createMemorySharedState(),
      book: aSharedValue(book),
      allowance: AMPLE,
      rate: 5,
      connections: 3,
      connectionsHere: 3,
      backoffScale: 1,
      keepConnections: () => 0,
    });
    await account.join();
    return account;
  }

  function pausedBy(code: Fault['error']['code']): (book: AccountBook) => void {
    return ({ gate }) => {
      gate.state = 'paused';
      gate.paused = { error: aFault(code, { scope: 'account' }).error, since: 0, until: now() + HOUR };
    };
  }

  const admit = (account: Account) => account.admit(DELIVERY, never);

  test('has nothing under way, has all the seats, and begins with a probe', async () => {
    const account = await restart((book) => {
      book.probe = 'the one before';
    });
    expect(account.state().connections).toEqual({ max: 3, allowed: 3, busy: 0 });
    await account.waitForConnection(2, never);
    expect(await admit(account)).toHaveProperty('permit');
    const stop = new AbortController();
    const second = account.admit(DELIVERY, stop.signal);
    await turns();
    await vi.advanceTimersByTimeAsync(2 * SECOND);
    stop.abort();
    expect(await second).toBeNull();
  });

  test('probes at once what may have been mended meanwhile', async () => {
    const account = await restart(pausedBy('bad_credentials'));
    expect(account.state().pause).toMatchObject({ error: { code: 'bad_credentials' } });
    expect(await admit(account)).toHaveProperty('permit');
  });

  test.each(['daily_limit_reached', 'throttled', 'login_throttled'] as const)(
    'waits on for what only time mends: %s',
    async (code) => {
      const account = await restart(pausedBy(code));
      const answer = await admit(account);
      expect(answer).toMatchObject({ pause: { error: { code } } });
      expect(answer && 'pause' in answer && answer.pause.forMs).toBeGreaterThan(HOUR - MINUTE);
    },
  );
});
