import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { newAccountState, removeExpiredLeases } from '../../src/core/accounts/account-state.ts';
import {
  connectionShareOf,
  type InstanceLeases,
  liveLeases,
  newLease,
  renewLease,
} from '../../src/core/accounts/connection-shares.ts';

const LEASE_MS = 15_000;

function leasesWith(connections: Record<string, number>): InstanceLeases {
  return Object.fromEntries(
    Object.entries(connections).map(([id, count]) => [
      id,
      { ...newLease(), connections: count, expiresAt: 1 },
    ]),
  );
}

/** Instances that renew their leases in turn, by one clock. */
function anAccountOf(connections: number, connectionsHere = connections) {
  let now = 1_000_000;
  const state = newAccountState(now);
  const { leases } = state;
  return {
    leases,
    renew(instance: string, open = 0) {
      removeExpiredLeases(state, { instance }, now);
      return renewLease(leases, { instance, connections, connectionsHere, leaseMs: LEASE_MS }, open, now);
    },
    leave: (instance: string) => delete leases[instance],
    pass: (ms: number) => (now += ms),
    held: () => liveLeases(leases, now).reduce((sum, lease) => sum + lease.connections, 0),
  };
}

describe('the connections of an account', () => {
  test.each([
    [6, 3, [2, 2, 2]],
    [7, 3, [3, 2, 2]],
    [8, 3, [3, 3, 2]],
    [2, 3, [1, 1, 0]],
    [5, 1, [5]],
  ])(
    '%i are shared equally among %i instances, the first of which get the remainder: %j',
    (connections, count, shares) => {
      const ids = ['a', 'b', 'c'].slice(0, count);
      const leases = leasesWith(Object.fromEntries(ids.map((id) => [id, 0])));
      expect(ids.map((id) => connectionShareOf(id, leases, connections, connections))).toEqual(shares);
    },
  );

  test('are not given to an instance while another one still holds them', () => {
    const account = anAccountOf(4);
    expect(account.renew('a')).toBe(4);
    expect(account.renew('b')).toBe(0);
    // Three are closed, one is still busy, and the instance may have two.
    expect(account.renew('a', 3)).toBe(2);
    expect(account.renew('b')).toBe(1);
    expect(account.renew('a', 2)).toBe(2);
    expect(account.renew('b')).toBe(2);
  });

  test('are free once the lease of their instance has expired', () => {
    const account = anAccountOf(4);
    account.renew('a');
    account.pass(LEASE_MS - 1);
    expect(account.renew('b')).toBe(0);
    account.pass(1);
    expect(account.renew('b')).toBe(4);
    expect(Object.keys(account.leases)).toEqual(['b']);
  });

  test('are free at once when their instance leaves', () => {
    const account = anAccountOf(4);
    account.renew('a');
    account.renew('b');
    account.leave('a');
    expect(account.renew('b')).toBe(4);
  });

  test('respect the maximum of one instance, without giving more to the others', () => {
    const account = anAccountOf(6, 2);
    expect([account.renew('a'), account.renew('b')]).toEqual([2, 2]);
    expect([account.renew('a', 2), account.renew('b', 2)]).toEqual([2, 2]);
  });

  test('never exceed their total, whichever instances join, leave, die, or close connections late', () => {
    const step = fc.record({
      instance: fc.constantFrom('a', 'b', 'c', 'd'),
      what: fc.constantFrom('renew', 'renew', 'renew', 'leave', 'die'),
      afterMs: fc.integer({ min: 0, max: 6000 }),
      keepsOpen: fc.integer({ min: 0, max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 9 }), (steps, connections) => {
        const account = anAccountOf(connections);
        const open = new Map<string, number>();
        for (const { instance, what, afterMs, keepsOpen } of steps) {
          account.pass(afterMs);
          if (what === 'renew') {
            // An instance whose lease has expired has lost its connections, and closes them.
            const has = instance in account.leases ? Math.min(keepsOpen, open.get(instance) ?? 0) : 0;
            const mayUse = account.renew(instance, has);
            open.set(instance, Math.max(mayUse, has));
          } else if (what === 'leave') {
            account.leave(instance);
            open.delete(instance);
          }
          expect(account.held()).toBeLessThanOrEqual(connections);
        }
        // After two rounds in which no instance holds on to a connection, all are in use, in equal
        // shares.
        for (let round = 0; round < 2; round++) for (const id of ['a', 'b', 'c', 'd']) account.renew(id, 0);
        const shares = ['a', 'b', 'c', 'd'].map((id) => account.renew(id, 0));
        expect(shares.reduce((sum, share) => sum + share)).toBe(connections);
        expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
      }),
    );
  });
});
