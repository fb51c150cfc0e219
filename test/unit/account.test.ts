import { describe, expect, test } from 'vitest';
import { type Account, createAccount, type Permit } from '../../src/core/account.ts';
import { createConcurrency } from '../../src/core/concurrency.ts';
import { createEvents } from '../../src/core/events.ts';
import { UNPACED } from '../../src/core/pace.ts';
import type { Fault } from '../../src/core/ports.ts';
import { createQuota } from '../../src/core/quota.ts';
import { AMPLE } from '../helpers/core.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { aFailure, aFault, anAcceptance } from '../helpers/outcome.ts';

const REFUSED = refusal('bad_credentials', [20, 40]);
const SENT = anAcceptance(['ada@example.com']);
const DELIVERY = aDelivery();
const never = new AbortController().signal;

function refusal(code: Fault['error']['code'], backoffMs: readonly number[]) {
  return aFailure(aFault(code, { scope: 'account', backoffMs }));
}

function anAccount() {
  const events = createEvents();
  const told: string[] = [];
  events.on('account.paused', (_user, error) => told.push(`paused: ${error.code}`));
  events.on('account.resumed', () => told.push('resumed'));
  const options = {
    events,
    backoffScale: 1,
    connections: 10,
    quota: createQuota(AMPLE),
    pace: UNPACED,
    concurrency: createConcurrency(10),
  };
  return { account: createAccount('bot@acme.com', options), told };
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
    await new Promise((resolve) => setTimeout(resolve, admission.pause.forMs));
  }
}

/** Whether admission is given without waiting for anybody. */
async function admitsAtOnce(account: Account): Promise<boolean> {
  const given = account.admit(DELIVERY, never).then(() => true);
  const turns = new Promise<boolean>((resolve) => setImmediate(() => resolve(false)));
  return Promise.race([given, turns]);
}

describe('the account', () => {
  test('lets one attempt out before the first login has worked, and all once it has', async () => {
    const { account } = anAccount();
    const first = await permitOf(account);
    const second = account.admit(DELIVERY, never);
    expect(await admitsAtOnce(account)).toBe(false);
    first.proven();
    expect(await second).toHaveProperty('permit');
    expect(await admitsAtOnce(account)).toBe(true);
  });

  test('pauses on the first refused login: those who waited for it are told, nobody else logs in', async () => {
    const { account, told } = anAccount();
    const first = await permitOf(account);
    const others = Array.from({ length: 5 }, () => account.admit(DELIVERY, never));
    expect(first.settle(REFUSED)).toMatchObject({ error: { code: 'bad_credentials' } });
    for (const admission of await Promise.all(others)) expect(admission).toMatchObject({ pause: { error: { code: 'bad_credentials' } } });
    expect(told).toEqual(['paused: bad_credentials']);
  });

  test('probes once when the pause is over, waits longer after each refusal, and heals by itself', async () => {
    const { account, told } = anAccount();
    expect((await permitOf(account)).settle(REFUSED)?.forMs).toBeLessThanOrEqual(20);
    const probe = await permitWhenDue(account);
    expect(await admitsAtOnce(account)).toBe(false);
    expect(probe.settle(REFUSED)?.forMs).toBeGreaterThan(20);
    (await permitWhenDue(account)).settle(SENT);
    expect(await admitsAtOnce(account)).toBe(true);
    expect(told).toEqual(['paused: bad_credentials', 'paused: bad_credentials', 'resumed']);
  });

  test('a message refused by a probe heals the account: it could log in', async () => {
    const { account, told } = anAccount();
    (await permitOf(account)).settle(refusal('throttled', [1]));
    const probe = await permitWhenDue(account);
    probe.proven();
    expect(await admitsAtOnce(account)).toBe(false);
    probe.settle(aFailure(aFault('recipients_rejected', { retryable: false })));
    expect(await admitsAtOnce(account)).toBe(true);
    expect(told).toEqual(['paused: throttled', 'resumed']);
  });

  test('a probe that could not connect says nothing about the account: the next one probes', async () => {
    const { account } = anAccount();
    const first = await permitOf(account);
    first.settle(aFailure(aFault('connect_failed', { scope: 'connection' })));
    const next = await permitOf(account);
    expect(await admitsAtOnce(account)).toBe(false);
    next.release();
    expect(await admitsAtOnce(account)).toBe(true);
  });
});
