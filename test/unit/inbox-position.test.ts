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
  restartAt,
  searchSince,
  untilSearch,
} from '../../src/core/inbound/inbox-position.ts';
import { DAY, HOUR } from '../../src/core/time.ts';

const NOW = Date.parse('2026-01-02T03:04:05Z');
const POSITION = createInboxPosition({ uidValidity: 7, uidNext: 100 }, NOW);

describe('a sweep reads', () => {
  test('nothing of an inbox that was never read, and then what is new', () => {
    expect(planSweep(POSITION, { uidValidity: 7, uidNext: 100 }, NOW)).toEqual({ kind: 'none' });
    expect(planSweep(POSITION, { uidValidity: 7, uidNext: 103 }, NOW)).toEqual({ kind: 'uids', first: 100 });
  });

  test('on after the last mail that was read', () => {
    const position = noteRead(POSITION, 150);
    expect(planSweep(position, { uidValidity: 7, uidNext: 160 }, NOW)).toEqual({ kind: 'uids', first: 151 });
    expect(noteRead(position, 120)).toEqual(position);
  });

  test('nothing twice of what came during the sweep before', () => {
    const state = { uidValidity: 7, uidNext: 103 };
    const swept = noteSwept(noteRead(POSITION, 104), state, NOW);
    expect(planSweep(swept, { ...state, uidNext: 106 }, NOW)).toEqual({ kind: 'uids', first: 105 });
  });

  test('since the day before the last sweep once UIDVALIDITY has changed, then on by UIDs', () => {
    const swept = noteSwept(POSITION, { uidValidity: 7, uidNext: 100 }, NOW - HOUR);
    const changed = { uidValidity: 8, uidNext: 5 };
    expect(planSweep(swept, changed, NOW)).toEqual({ kind: 'since', since: NOW - HOUR - DAY });
    const restarted = restartAt(swept, changed, 3);
    expect(planSweep(restarted, changed, NOW)).toEqual({ kind: 'uids', first: 3 });
    expect(planSweep(noteSwept(restarted, changed, NOW), changed, NOW)).toEqual({ kind: 'none' });
  });

  test('since a month ago if the clock was ahead at the last sweep', () => {
    const swept = noteSwept(POSITION, { uidValidity: 7, uidNext: 100 }, NOW + 365 * DAY);
    expect(planSweep(swept, { uidValidity: 8, uidNext: 5 }, NOW)).toEqual({
      kind: 'since',
      since: NOW - 30 * DAY,
    });
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
          const plan = planSweep(position, { uidValidity: 1, uidNext }, NOW);
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
  expect(untilSearch(POSITION, NOW)).toBe(0);
  const searched = noteSearched(POSITION, NOW);
  expect(untilSearch(searched, NOW + HOUR)).toBe(DAY - HOUR);
  expect(untilSearch(searched, NOW + DAY)).toBe(0);
  expect(searchSince(searched, NOW + DAY)).toBe(NOW - DAY);
});

test('searches a month of mail once the clock was set back', () => {
  const searched = noteSearched(POSITION, NOW + 365 * DAY);
  expect(untilSearch(searched, NOW)).toBe(0);
  expect(searchSince(searched, NOW)).toBe(NOW - 30 * DAY);
});

test('searches at most a month of mail after a long stop', () => {
  const searched = noteSearched(POSITION, NOW - 365 * DAY);
  expect(searchSince(searched, NOW)).toBe(NOW - 30 * DAY);
});

test('is a JSON value', () => {
  expect(JSON.parse(JSON.stringify(POSITION))).toEqual(POSITION);
});
