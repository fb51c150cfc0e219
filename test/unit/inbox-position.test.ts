import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createInboxPosition,
  type InboxPosition,
  isHandled,
  noteHandled,
  noteRead,
  noteSearched,
  noteSwept,
  planSweep,
  searchDueAt,
  searchSince,
} from '../../src/core/inbound/inbox-position.ts';
import { DAY, HOUR } from '../../src/core/time.ts';

const NOW = Date.parse('2026-01-02T03:04:05Z');
const POSITION = createInboxPosition({ uidValidity: 7, uidNext: 100 }, NOW);

describe('a sweep reads', () => {
  test('nothing of an inbox that was never read, and then what is new', () => {
    expect(planSweep(POSITION, { uidValidity: 7, uidNext: 100 })).toEqual({ kind: 'none' });
    expect(planSweep(POSITION, { uidValidity: 7, uidNext: 103 })).toEqual({ kind: 'uids', first: 100 });
  });

  test('on after the last mail that was read', () => {
    const position = noteRead(POSITION, 150);
    expect(planSweep(position, { uidValidity: 7, uidNext: 160 })).toEqual({ kind: 'uids', first: 151 });
    expect(noteRead(position, 120)).toEqual(position);
  });

  test('nothing twice of what came during the sweep before', () => {
    const state = { uidValidity: 7, uidNext: 103 };
    const swept = noteSwept(noteRead(POSITION, 104), state, NOW);
    expect(planSweep(swept, { ...state, uidNext: 106 })).toEqual({ kind: 'uids', first: 105 });
  });

  test('since the day before the last sweep once UIDVALIDITY has changed', () => {
    const swept = noteSwept(POSITION, { uidValidity: 7, uidNext: 100 }, NOW + HOUR);
    const changed = { uidValidity: 8, uidNext: 5 };
    expect(planSweep(swept, changed)).toEqual({ kind: 'since', since: NOW + HOUR - DAY });
    // Interrupted in the middle, it starts again.
    expect(planSweep(noteHandled(swept, '<a@b>'), changed)).toMatchObject({ kind: 'since' });
    expect(planSweep(noteSwept(swept, changed, NOW), changed)).toEqual({ kind: 'none' });
  });

  test('every mail once, whenever mail arrives and the sweep is interrupted', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('arrive' as const), count: fc.integer({ min: 1, max: 5 }) }),
      fc.record({ kind: fc.constant('sweep' as const), readBeforeCrash: fc.nat(8) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let uidNext = 10;
        let position = createInboxPosition({ uidValidity: 1, uidNext }, NOW);
        const read: number[] = [];
        const sweep = (limit: number) => {
          const plan = planSweep(position, { uidValidity: 1, uidNext });
          if (plan.kind !== 'uids') return;
          for (let uid = plan.first; uid < uidNext && uid - plan.first < limit; uid++) {
            read.push(uid);
            position = noteRead(position, uid);
          }
        };
        for (const action of steps) {
          if (action.kind === 'arrive') uidNext += action.count;
          else sweep(action.readBeforeCrash);
        }
        sweep(Infinity);
        expect(read).toEqual(Array.from({ length: uidNext - 10 }, (_, i) => 10 + i));
      }),
    );
  });
});

test('recognizes the latest 500 mails that were handled', () => {
  let position: InboxPosition = POSITION;
  for (let i = 0; i <= 500; i++) position = noteHandled(position, `<${i}@example.com>`);
  expect(isHandled(position, '<0@example.com>')).toBe(false);
  expect(isHandled(position, '<1@example.com>')).toBe(true);
  expect(position.handled).toHaveLength(500);
});

test('searches all mail at once, then each day, with the day before', () => {
  expect(searchDueAt(POSITION)).toBe(NOW);
  const searched = noteSearched(POSITION, NOW + HOUR);
  expect(searchDueAt(searched)).toBe(NOW + HOUR + DAY);
  expect(searchSince(searched)).toBe(NOW + HOUR - DAY);
});

test('is a JSON value', () => {
  expect(JSON.parse(JSON.stringify(POSITION))).toEqual(POSITION);
});
