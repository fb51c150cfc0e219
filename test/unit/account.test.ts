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
import { MINUTE } from '../../src/core/time.ts';
import { WINDOW_MS } from '../../src/core/usage.ts';
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
  state = aSharedValue(newAccountState(0)),
}: {
  connections?: number;
  allowance?: Allowance;
  state?: SharedValue<AccountState>;
} = {}) {
  const events = createEvents();
  const emitted: string[] = [];
  events.on('account.paused', (_user, error) => emitted.push(`paused: ${error.code}`));
  events.on('account.resumed', () => emitted.push('resumed'));
  events.on('account.short', () => emitted.push('short'));
  const account = createAccount('bot@acme.com', {
    events,
    backoffScale: 1,
    connections,
    connectionsHere: connections,
    allowance,
    rate: null,
    sharedState: createMemorySharedState(),
    state,
    closeIdleConnections: () => 0,
  });
  await account.join();
  return { account, emitted };
}

async function permitOf(account: Account): Promise<Permit> {
  const admission = await account.admit(DELIVERY, never);
  if (admission?.kind !== 'admitted') throw new Error(`not admitted: ${admission?.pause.error.code}`);
  return admission.permit;
}

/** The permit that follows when the pause is over. */
async function permitWhenDue(account: Account): Promise<Permit> {
  for (;;) {
    const admission = await account.admit(DELIVERY, never);
    if (!admission) throw new Error('aborted');
    if (admission.kind === 'admitted') return admission.permit;
    await vi.advanceTimersByTimeAsync(Math.ceil(admission.pause.forMs));
  }
}

/** A permit, if there is one without waiting for another attempt. */
async function permitAtOnce(account: Account): Promise<Permit | null> {
  const stop = new AbortController();
  const admission = account.admit(DELIVERY, stop.signal);
  setImmediate(() => stop.abort());
  const given = await admission;
  return given?.kind === 'admitted' ? given.permit : null;
}

/** Whether a delivery is admitted without waiting for another attempt. */
async function admitsAtOnce(account: Account): Promise<boolean> {
  return (await permitAtOnce(account)) !== null;
}

describe('the account', () => {
  test('admits one attempt until the first login has worked, and then all', async () => {
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

  test('pauses on the first refused login, and defers the deliveries that waited for it without another login', async () => {
    const { account, emitted } = await anAccount();
    const first = await permitOf(account);
    const others = Array.from({ length: 5 }, () => account.admit(DELIVERY, never));
    expect(await first.settle(REFUSED)).toMatchObject({ pause: { error: { code: 'bad_credentials' } } });
    for (const admission of await Promise.all(others))
      expect(admission).toMatchObject({ pause: { error: { code: 'bad_credentials' } } });
    expect(emitted).toEqual(['paused: bad_credentials']);
  });

  test('probes once when the pause is over, waits longer after each refusal, and resumes automatically', async () => {
    const { account, emitted } = await anAccount();
    expect((await (await permitOf(account)).settle(REFUSED)).pause?.forMs).toBeLessThanOrEqual(20);
    const probe = await permitWhenDue(account);
    expect(await admitsAtOnce(account)).toBe(false);
    expect((await probe.settle(REFUSED)).pause?.forMs).toBeGreaterThan(20);
    await (await permitWhenDue(account)).settle(SENT);
    expect(await admitsAtOnce(account)).toBe(true);
    expect(emitted).toEqual(['paused: bad_credentials', 'paused: bad_credentials', 'resumed']);
  });

  test('resumes when the message of a probe is refused: the login has worked', async () => {
    const { account, emitted } = await anAccount();
    await (await permitOf(account)).settle(refusal('throttled', [1]));
    const probe = await permitWhenDue(account);
    probe.messageStarted();
    expect(await admitsAtOnce(account)).toBe(false);
    await probe.settle(aFailure(aFault('recipients_rejected', { retryable: false })));
    expect(await admitsAtOnce(account)).toBe(true);
    expect(emitted).toEqual(['paused: throttled', 'resumed']);
  });
});

describe('an account whose server cannot be reached', () => {
  const unreachable = (backoffMs: readonly number[] = [20, 40]) =>
    aFailure(aFault('connect_failed', { scope: 'connection', noSession: true, backoffMs }));

  test('is paused by one attempt for all that wait, and probed by one', async () => {
    const { account } = await anAccount();
    const first = await permitOf(account);
    const others = Array.from({ length: 5 }, () => account.admit(DELIVERY, never));
    expect(await first.settle(unreachable())).toMatchObject({
      pause: { error: { code: 'connect_failed', scope: 'message' } },
    });
    for (const admission of await Promise.all(others))
      expect(admission).toMatchObject({ pause: { error: { code: 'connect_failed' } } });
    expect(account.status().pause).toMatchObject({ error: { code: 'connect_failed' } });
    const probe = await permitWhenDue(account);
    expect(await admitsAtOnce(account)).toBe(false);
    await probe.settle(SENT);
    expect(account.status().pause).toBeNull();
    expect(await admitsAtOnce(account)).toBe(true);
  });

  test('notifies once, at the second failure in a row, and when the server is reachable again', async () => {
    const { account, emitted } = await anAccount();
    await (await permitOf(account)).settle(unreachable([1]));
    await (await permitWhenDue(account)).settle(SENT);
    expect(emitted).toEqual([]);
    for (let i = 0; i < 4; i++) await (await permitWhenDue(account)).settle(unreachable([1]));
    await (await permitWhenDue(account)).settle(SENT);
    expect(emitted).toEqual([
      'paused: connect_failed',
      'paused: connect_failed',
      'paused: connect_failed',
      'resumed',
    ]);
  });

  test('waits longer after each failure, but at most five minutes, even if a reply suggests more', async () => {
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
      waits.push(Math.round(((account.status().pause?.until ?? 0) - Date.now()) / 1000));
    }
    expect(waits).toEqual([5, 10, 20, 40, 80, 160, 300, 300]);
  });

  test('starts with one connection, and grows slowly if other attempts were under way when one failed', async () => {
    const { account } = await anAccount({ connections: 8 });
    await (await permitOf(account)).settle(SENT);
    const [lost, working] = [await permitOf(account), await permitOf(account)];
    await lost.settle(unreachable([1]));
    await working.settle(SENT);
    expect(account.status().connections.allowed).toBe(1);
    for (let i = 0; i < 5; i++) await (await permitOf(account)).settle(SENT);
    expect(account.status().connections.allowed).toBeLessThanOrEqual(4);
  });

  test('is reachable again once a login is refused, and then paused for that', async () => {
    const { account } = await anAccount();
    await (await permitOf(account)).settle(unreachable([1]));
    await (await permitWhenDue(account)).settle(REFUSED);
    expect(account.status().pause?.error.code).toBe('bad_credentials');
  });
});

describe('an account that works', () => {
  async function permits(account: Account): Promise<Permit[]> {
    const permits: Permit[] = [];
    for (let left = 20; left > 0; left--) {
      const permit = await permitAtOnce(account);
      if (permit === null) break;
      permits.push(permit);
    }
    return permits;
  }

  test('admits one attempt for each connection, and the next when one ends', async () => {
    const { account } = await anAccount({ connections: 3 });
    await (await permitOf(account)).settle(SENT);
    const [first, ...others] = await permits(account);
    expect(others).toHaveLength(2);
    expect(account.status().connections).toEqual({ max: 3, allowed: 3, busy: 3 });
    await first?.settle(SENT);
    expect(await permits(account)).toHaveLength(1);
  });

  test('starts with one connection after a pause, and uses all of them again after a few messages', async () => {
    const { account } = await anAccount({ connections: 4 });
    await (await permitOf(account)).settle(refusal('bad_credentials', [1]));
    await (await permitWhenDue(account)).settle(SENT);
    const counts: number[] = [];
    for (let i = 0; i < 4; i++) {
      const issued = await permits(account);
      counts.push(issued.length);
      await issued[0]?.settle(SENT);
      for (const rest of issued.slice(1)) await rest.release();
    }
    expect(counts).toEqual([1, 2, 3, 4]);
  });

  test('halves its limit once when several attempts are asked to slow down, and grows slowly from there', async () => {
    const { account } = await anAccount({ connections: 8 });
    await (await permitOf(account)).settle(SENT);
    const throttled = await permits(account);
    expect(throttled).toHaveLength(8);
    for (const permit of throttled) await permit.settle(refusal('throttled', [5, 60_000]));
    expect(account.status().connections.allowed).toBe(4);
    for (let i = 0; i < 10; i++) await (await permitWhenDue(account)).settle(SENT);
    expect(account.status().connections.allowed).toBe(4);
  });

  test('counts a message as sent if the server may have accepted it', async () => {
    const { account } = await anAccount();
    await (await permitOf(account)).settle(
      aFailure(aFault('connection_lost', { scope: 'connection', certain: false })),
    );
    await (await permitOf(account)).settle(aFailure(aFault('connection_lost', { scope: 'connection' })));
    expect(account.status().quota).toMatchObject({ messages: { used: 1 }, recipients: { used: 1 } });
  });

  test('reports by the wall clock when a slot of the quota frees up', async () => {
    const { account } = await anAccount();
    expect(account.status().quota.freesAt).toBeNull();
    await (await permitOf(account)).settle(SENT);
    const { freesAt } = account.status().quota;
    expect(freesAt).toBe(Math.ceil(freesAt ?? 0));
    expect(Math.abs((freesAt ?? 0) - (account.budget('normal').freesAt ?? 0))).toBeLessThan(100);
    const inMs = (freesAt ?? 0) - Date.now();
    expect(inMs).toBeGreaterThan(WINDOW_MS - 1000);
    expect(inMs).toBeLessThan(WINDOW_MS + 11 * MINUTE);
  });

  test('reports once that mail waits for quota, not for each message', async () => {
    const { account, emitted } = await anAccount({ allowance: { messages: 1, recipients: 10, reserve: 0 } });
    await (await permitOf(account)).settle(SENT);
    for (let i = 0; i < 5; i++)
      expect(await account.admit(DELIVERY, never)).toMatchObject({
        pause: { error: { code: 'daily_limit_reached' } },
      });
    expect(emitted).toEqual(['short']);
  });
});

describe('a pause', () => {
  test('keeps its start time after further refusals', async () => {
    const { account } = await anAccount();
    await (await permitOf(account)).settle(REFUSED);
    const since = account.status().pause?.since;
    await (await permitWhenDue(account)).settle(REFUSED);
    expect(account.status().pause).toMatchObject({ since, error: { code: 'bad_credentials' } });
  });

  test('is not extended by attempts that were under way when it began', async () => {
    const { account } = await anAccount();
    await (await permitOf(account)).settle(SENT);
    const under = await Promise.all(Array.from({ length: 5 }, () => permitOf(account)));
    const settled = await Promise.all(
      under.map((permit) => permit.settle(refusal('bad_credentials', [1000, 60_000]))),
    );
    expect(Math.max(...settled.map(({ pause }) => pause?.forMs ?? 0))).toBeLessThanOrEqual(1000);
  });

  test('for a sending limit does not end with a successful login, but the next message may test the limit', async () => {
    const { account, emitted } = await anAccount();
    await (await permitOf(account)).settle(refusal('throttled', [60_000]));
    expect(await account.probe(async () => null, never)).toBeNull();
    expect(account.status().pause?.error.code).toBe('throttled');
    expect(emitted).toEqual(['paused: throttled']);
    await (await permitOf(account)).settle(SENT);
    expect(emitted).toEqual(['paused: throttled', 'resumed']);
  });

  test('for the daily limit lasts an hour if no counted message frees a slot sooner', async () => {
    const { account } = await anAccount();
    const waits: number[] = [];
    for (let i = 0; i < 5; i++) {
      const { pause } = await (await permitOf(account)).settle(refusal('daily_limit_reached', []));
      waits.push(Math.round((pause?.forMs ?? 0) / 60_000));
      await account.probe(async () => null, never);
    }
    expect(waits).toEqual([60, 60, 60, 60, 60]);
  });
});

test('sends although the reply to the begin of a probe was lost', async () => {
  const own = aSharedValue(newAccountState(0));
  let isLost = false;
  const state: typeof own = {
    ...own,
    async change(edit) {
      const result = await own.change(edit);
      if (!isLost) return result;
      isLost = false;
      throw new AppError('queue_unavailable');
    },
  };
  const { account } = await anAccount({ state });
  isLost = true;
  await expect(account.probe(async () => null, never)).rejects.toMatchObject({ code: 'queue_unavailable' });
  await (await permitOf(account)).settle(SENT);
});
