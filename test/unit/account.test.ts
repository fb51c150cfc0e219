import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { type Account, createAccount, type Permit } from '../../src/core/accounts/account.ts';
import { type AccountBook, newAccountBook } from '../../src/core/accounts/account-state.ts';
import type { Fault } from '../../src/core/delivery/outcome.ts';
import { createEvents } from '../../src/core/events.ts';
import type { Allowance } from '../../src/core/quota.ts';
import { AMPLE, aSharedValue } from '../helpers/core.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date'],
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const REFUSED = refusal('bad_credentials', [20, 40]);
const SENT = anAcceptance(['ada@example.com']);
const DELIVERY = aDelivery();
const never = new AbortController().signal;

function refusal(code: Fault['error']['code'], backoffMs: readonly number[]) {
  return aFailure(aFault(code, { scope: 'account', backoffMs }));
}

async function anAccount({
  connections = 10,
  allowance = AMPLE,
  book = newAccountBook(0),
}: {
  connections?: number;
  allowance?: Allowance;
  book?: AccountBook;
} = {}) {
  const events = createEvents();
  const told: string[] = [];
  events.on('account.paused', (_user, error) => told.push(`paused: ${error.code}`));
  events.on('account.resumed', () => told.push('resumed'));
  events.on('account.short', () => told.push('short'));
  const account = createAccount('bot@acme.com', {
    events,
    backoffScale: 1,
    connections,
    connectionsHere: connections,
    allowance,
    rate: null,
    sharedState: createMemorySharedState(),
    book: aSharedValue(book),
    keepConnections: () => 0,
  });
  await account.join();
  return { account, told };
}

async function permitOf(account: Account): Promise<Permit> {
  const admission = await account.admit(DELIVERY, never);
  if (!admission || 'pause' in admission) throw new Error(`not admitted: ${admission?.pause.error.code}`);
  return admission.permit;
}

/** The permit that follows when the pause is over. */
async function permitWhenDue(account: Account): Promise<Permit> {
  for (;;) {
    const admission = await account.admit(DELIVERY, never);
    if (!admission) throw new Error('aborted');
    if ('permit' in admission) return admission.permit;
    await vi.advanceTimersByTimeAsync(Math.ceil(admission.pause.forMs));
  }
}

/** A permit, if one is to be had without waiting for anybody. */
async function permitAtOnce(account: Account): Promise<Permit | null> {
  const stop = new AbortController();
  const admission = account.admit(DELIVERY, stop.signal);
  setImmediate(() => stop.abort());
  const given = await admission;
  return given && 'permit' in given ? given.permit : null;
}

/** Whether admission is given without waiting for anybody. */
async function admitsAtOnce(account: Account): Promise<boolean> {
  return (await permitAtOnce(account)) !== null;
}

describe('the account', () => {
  test('lets one attempt out before the first login has worked, and all once it has', async () => {
    const { account } = await anAccount();
    const first = await permitOf(account);
    const second = account.admit(DELIVERY, never);
    expect(await admitsAtOnce(account)).toBe(false);
    first.messageStarted();
    expect(await admitsAtOnce(account)).toBe(false);
    first.envelopeAccepted();
    expect(await second).toHaveProperty('permit');
    expect(await admitsAtOnce(account)).toBe(true);
  });

  test('pauses on the first refused login: those who waited for it are told, nobody else logs in', async () => {
    const { account, told } = await anAccount();
    const first = await permitOf(account);
    const others = Array.from({ length: 5 }, () => account.admit(DELIVERY, never));
    expect(await first.settle(REFUSED)).toMatchObject({ error: { code: 'bad_credentials' } });
    for (const admission of await Promise.all(others))
      expect(admission).toMatchObject({ pause: { error: { code: 'bad_credentials' } } });
    expect(told).toEqual(['paused: bad_credentials']);
  });

  test('probes once when the pause is over, waits longer after each refusal, and heals by itself', async () => {
    const { account, told } = await anAccount();
    expect((await (await permitOf(account)).settle(REFUSED))?.forMs).toBeLessThanOrEqual(20);
    const probe = await permitWhenDue(account);
    expect(await admitsAtOnce(account)).toBe(false);
    expect((await probe.settle(REFUSED))?.forMs).toBeGreaterThan(20);
    await (await permitWhenDue(account)).settle(SENT);
    expect(await admitsAtOnce(account)).toBe(true);
    expect(told).toEqual(['paused: bad_credentials', 'paused: bad_credentials', 'resumed']);
  });

  test('a message refused by a probe heals the account: it could log in', async () => {
    const { account, told } = await anAccount();
    await (await permitOf(account)).settle(refusal('throttled', [1]));
    const probe = await permitWhenDue(account);
    probe.messageStarted();
    expect(await admitsAtOnce(account)).toBe(false);
    await probe.settle(aFailure(aFault('recipients_rejected', { retryable: false })));
    expect(await admitsAtOnce(account)).toBe(true);
    expect(told).toEqual(['paused: throttled', 'resumed']);
  });
});

describe('an account whose server cannot be reached', () => {
  const unreachable = (backoffMs: readonly number[] = [20, 40]) =>
    aFailure(aFault('connect_failed', { scope: 'connection', noSession: true, backoffMs }));

  test('is found so by one attempt for all who wait, and probed by one', async () => {
    const { account } = await anAccount();
    const first = await permitOf(account);
    const others = Array.from({ length: 5 }, () => account.admit(DELIVERY, never));
    expect(await first.settle(unreachable())).toMatchObject({
      error: { code: 'connect_failed', scope: 'message' },
    });
    for (const admission of await Promise.all(others))
      expect(admission).toMatchObject({ pause: { error: { code: 'connect_failed' } } });
    expect(account.state().pause).toMatchObject({ error: { code: 'connect_failed' } });
    const probe = await permitWhenDue(account);
    expect(await admitsAtOnce(account)).toBe(false);
    await probe.settle(SENT);
    expect(account.state().pause).toBeNull();
    expect(await admitsAtOnce(account)).toBe(true);
  });

  test('notifies at the second failure in a row, once, and when it is over', async () => {
    const { account, told } = await anAccount();
    await (await permitOf(account)).settle(unreachable([1]));
    await (await permitWhenDue(account)).settle(SENT);
    expect(told).toEqual([]);
    for (let i = 0; i < 4; i++) await (await permitWhenDue(account)).settle(unreachable([1]));
    await (await permitWhenDue(account)).settle(SENT);
    expect(told).toEqual([
      'paused: connect_failed',
      'paused: connect_failed',
      'paused: connect_failed',
      'resumed',
    ]);
  });

  test('waits longer after each failure, five minutes at most, whatever a reply suggests', async () => {
    const { account } = await anAccount();
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      await account.probe(
        async () =>
          aFault('connect_failed', {
            scope: 'connection',
            noSession: true,
            backoffMs: i < 7 ? null : [3_600_000],
          }),
        never,
      );
      waits.push(Math.round(((account.state().pause?.until ?? 0) - Date.now()) / 1000));
    }
    expect(waits).toEqual([5, 10, 20, 40, 80, 160, 300, 300]);
  });

  test('begins with one connection, and grows only slowly if others were at work when one was lost', async () => {
    const { account } = await anAccount({ connections: 8 });
    await (await permitOf(account)).settle(SENT);
    const [lost, atWork] = [await permitOf(account), await permitOf(account)];
    await lost.settle(unreachable([1]));
    await atWork.settle(SENT);
    expect(account.state().connections.allowed).toBe(1);
    for (let i = 0; i < 5; i++) await (await permitOf(account)).settle(SENT);
    expect(account.state().connections.allowed).toBeLessThanOrEqual(4);
  });

  test('is reachable again once a login is refused: then that is what is wrong', async () => {
    const { account } = await anAccount();
    await (await permitOf(account)).settle(unreachable([1]));
    await (await permitWhenDue(account)).settle(REFUSED);
    expect(account.state().pause?.error.code).toBe('bad_credentials');
  });
});

describe('an account that works', () => {
  async function permits(account: Account): Promise<Permit[]> {
    const given: Permit[] = [];
    for (let left = 20; left > 0; left--) {
      const permit = await permitAtOnce(account);
      if (permit === null) break;
      given.push(permit);
    }
    return given;
  }

  test('lets as many attempts out at once as there are connections, and the next when one ends', async () => {
    const { account } = await anAccount({ connections: 3 });
    await (await permitOf(account)).settle(SENT);
    const [first, ...others] = await permits(account);
    expect(others).toHaveLength(2);
    expect(account.state().connections).toEqual({ max: 3, allowed: 3, busy: 3 });
    await first?.settle(SENT);
    expect(await permits(account)).toHaveLength(1);
  });

  test('begins with one connection after a pause, and has all of them again with a few messages', async () => {
    const { account } = await anAccount({ connections: 4 });
    await (await permitOf(account)).settle(refusal('bad_credentials', [1]));
    await (await permitWhenDue(account)).settle(SENT);
    const counts: number[] = [];
    for (let i = 0; i < 4; i++) {
      const given = await permits(account);
      counts.push(given.length);
      await given[0]?.settle(SENT);
      for (const rest of given.slice(1)) await rest.release();
    }
    expect(counts).toEqual([1, 2, 3, 4]);
  });

  test('is slowed to half by one request to slow down, however many attempts hear it, and grows past that only slowly', async () => {
    const { account } = await anAccount({ connections: 8 });
    await (await permitOf(account)).settle(SENT);
    const heard = await permits(account);
    expect(heard).toHaveLength(8);
    for (const permit of heard) await permit.settle(refusal('throttled', [5, 60_000]));
    expect(account.state().connections.allowed).toBe(4);
    for (let i = 0; i < 10; i++) await (await permitWhenDue(account)).settle(SENT);
    expect(account.state().connections.allowed).toBe(4);
  });

  test('counts what may have been taken as sent', async () => {
    const { account } = await anAccount();
    await (await permitOf(account)).settle(
      aFailure(aFault('connection_lost', { scope: 'connection', certain: false })),
    );
    await (await permitOf(account)).settle(aFailure(aFault('connection_lost', { scope: 'connection' })));
    expect(account.state().quota).toMatchObject({ messages: { used: 1 }, recipients: { used: 1 } });
  });

  test('says once that mail waits for quota, not for each message', async () => {
    const { account, told } = await anAccount({ allowance: { messages: 1, recipients: 10, reserve: 0 } });
    await (await permitOf(account)).settle(SENT);
    for (let i = 0; i < 5; i++)
      expect(await account.admit(DELIVERY, never)).toMatchObject({
        pause: { error: { code: 'daily_limit_reached' } },
      });
    expect(told).toEqual(['short']);
  });
});

describe('a pause', () => {
  test('tells since when it lasts, also after further refusals', async () => {
    const { account } = await anAccount();
    await (await permitOf(account)).settle(REFUSED);
    const since = account.state().pause?.since;
    await (await permitWhenDue(account)).settle(REFUSED);
    expect(account.state().pause).toMatchObject({ since, error: { code: 'bad_credentials' } });
  });

  test('does not grow by attempts that were under way when it began', async () => {
    const { account } = await anAccount();
    await (await permitOf(account)).settle(SENT);
    const under = await Promise.all(Array.from({ length: 5 }, () => permitOf(account)));
    const pauses = await Promise.all(
      under.map((permit) => permit.settle(refusal('bad_credentials', [1000, 60_000]))),
    );
    expect(Math.max(...pauses.map((pause) => pause?.forMs ?? 0))).toBeLessThanOrEqual(1000);
  });

  test('of a limit is not ended by a login that works, but a message may ask at once', async () => {
    const { account, told } = await anAccount();
    await (await permitOf(account)).settle(refusal('throttled', [60_000]));
    expect(await account.probe(async () => null, never)).toBeNull();
    expect(account.state().pause?.error.code).toBe('throttled');
    expect(told).toEqual(['paused: throttled']);
    await (await permitOf(account)).settle(SENT);
    expect(told).toEqual(['paused: throttled', 'resumed']);
  });

  test('of the daily limit lasts an hour if nothing is counted that could free sooner', async () => {
    const { account } = await anAccount();
    const waits: number[] = [];
    for (let i = 0; i < 5; i++) {
      const pause = await (await permitOf(account)).settle(refusal('daily_limit_reached', []));
      waits.push(Math.round((pause?.forMs ?? 0) / 60_000));
      await account.probe(async () => null, never);
    }
    expect(waits).toEqual([60, 60, 60, 60, 60]);
  });
});
