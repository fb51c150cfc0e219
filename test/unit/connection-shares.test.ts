import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AccountBook, newAccountBook, openDesk } from '../../src/core/accounts/account-state.ts';
import { type Members, present, seatsFor } from '../../src/core/accounts/connection-shares.ts';
import { AMPLE } from '../helpers/core.ts';

const PRESENT_FOR_MS = 15_000;

function membersWith(seats: Record<string, number>): Members {
  return Object.fromEntries(
    Object.entries(seats).map(([id, count]) => [
      id,
      { seats: count, until: 1, messages: 0, recipients: 0, starting: 0 },
    ]),
  );
}

/** Instances that say in turn that they are there, by one clock. */
function anAccountOf(connections: number, connectionsHere = connections) {
  const book: AccountBook = newAccountBook(0);
  let time = 1_000_000;
  const rules = {
    allowance: AMPLE,
    rate: null,
    connections,
    connectionsHere,
    backoffScale: 1,
    presentForMs: PRESENT_FOR_MS,
    now: () => time,
  };
  return {
    book,
    renew: (me: string, open = 0) => openDesk(book, { ...rules, me }).renew(open),
    leave: (me: string) => openDesk(book, { ...rules, me }).leave(),
    pass: (ms: number) => (time += ms),
    taken: () => present(book.members, time).reduce((sum, { seats }) => sum + seats, 0),
  };
}

describe('the seats of an account', () => {
  test.each([
    [6, 3, [2, 2, 2]],
    [7, 3, [3, 2, 2]],
    [8, 3, [3, 3, 2]],
    [2, 3, [1, 1, 0]],
    [5, 1, [5]],
  ])('%i are shared out among %i equally, and the first get what is left over: %j', (seats, count, parts) => {
    const ids = ['a', 'b', 'c'].slice(0, count);
    const nobodyHasAny = membersWith(Object.fromEntries(ids.map((id) => [id, 0])));
    expect(ids.map((id) => seatsFor(id, nobodyHasAny, seats, seats))).toEqual(parts);
  });

  test('are not given to one while another still has them', () => {
    const account = anAccountOf(4);
    expect(account.renew('a')).toBe(4);
    expect(account.renew('b')).toBe(0);
    // Three are closed, one is still busy, where it may have two.
    expect(account.renew('a', 3)).toBe(2);
    expect(account.renew('b')).toBe(1);
    expect(account.renew('a', 2)).toBe(2);
    expect(account.renew('b')).toBe(2);
  });

  test('of one that is not heard of any more are others’', () => {
    const account = anAccountOf(4);
    account.renew('a');
    account.pass(PRESENT_FOR_MS - 1);
    expect(account.renew('b')).toBe(0);
    account.pass(1);
    expect(account.renew('b')).toBe(4);
    expect(Object.keys(account.book.members)).toEqual(['b']);
  });

  test('of one that leaves are others’ at once', () => {
    const account = anAccountOf(4);
    account.renew('a');
    account.renew('b');
    account.leave('a');
    expect(account.renew('b')).toBe(4);
  });

  test('are no more for one instance than that may have, and the others do not get more for it', () => {
    const account = anAccountOf(6, 2);
    expect([account.renew('a'), account.renew('b')]).toEqual([2, 2]);
    expect([account.renew('a', 2), account.renew('b', 2)]).toEqual([2, 2]);
  });

  test('are never more than there are, whoever comes, goes, dies and however late it closes its connections', () => {
    const step = fc.record({
      who: fc.constantFrom('a', 'b', 'c', 'd'),
      what: fc.constantFrom('renew', 'renew', 'renew', 'leave', 'die'),
      afterMs: fc.integer({ min: 0, max: 6000 }),
      keepsOpen: fc.integer({ min: 0, max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 9 }), (steps, seats) => {
        const account = anAccountOf(seats);
        const open = new Map<string, number>();
        for (const { who, what, afterMs, keepsOpen } of steps) {
          account.pass(afterMs);
          if (what === 'renew') {
            // One that was taken for gone has lost its seats, and closes its connections.
            const has = who in account.book.members ? Math.min(keepsOpen, open.get(who) ?? 0) : 0;
            const mayUse = account.renew(who, has);
            open.set(who, Math.max(mayUse, has));
          } else if (what === 'leave') {
            account.leave(who);
            open.delete(who);
          }
          expect(account.taken()).toBeLessThanOrEqual(seats);
        }
        // Once all have had their say twice without holding on to anything, every seat is taken and the parts are equal.
        for (let round = 0; round < 2; round++) for (const who of ['a', 'b', 'c', 'd']) account.renew(who, 0);
        const parts = ['a', 'b', 'c', 'd'].map((who) => account.renew(who, 0));
        expect(parts.reduce((sum, part) => sum + part)).toBe(seats);
        expect(Math.max(...parts) - Math.min(...parts)).toBeLessThanOrEqual(1);
      }),
    );
  });
});
