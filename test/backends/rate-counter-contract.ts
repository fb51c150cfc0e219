import { describe, expect, test } from 'vitest';
import type { RateCounters } from '../../src/core/ports/rate-counter.ts';

const RATE = { max: 10, windowMs: 60_000 };

/** Tests of the RateCounter contract. */
export function rateCounterContract(name: string, open: () => Promise<RateCounters>): void {
  describe(`the rate counters of ${name}`, () => {
    test('spend a cost in one step, and return what is left and when the window ends', async () => {
      const { keys } = await open();
      expect(await keys.spend('crm', 1, RATE)).toMatchObject({ fits: true, left: 9 });
      const { fits, left, resetMs } = await keys.spend('crm', 7, RATE);
      expect([fits, left]).toEqual([true, 2]);
      expect(resetMs).toBeGreaterThan(0);
      expect(resetMs).toBeLessThanOrEqual(RATE.windowMs);
    });

    test('spend nothing of a cost that does not fit', async () => {
      const { keys } = await open();
      await keys.spend('crm', 8, RATE);
      expect(await keys.spend('crm', 3, RATE)).toMatchObject({ fits: false, left: 2 });
      expect(await keys.spend('crm', 2, RATE)).toMatchObject({ fits: true, left: 0 });
      expect(await keys.spend('crm', 1, RATE)).toMatchObject({ fits: false, left: 0 });
    });

    test('count each key separately, and keys separately from addresses', async () => {
      const { keys, addresses } = await open();
      await keys.spend('a', 10, RATE);
      expect((await keys.spend('b', 10, RATE)).fits).toBe(true);
      expect((await addresses.spend('a', 10, RATE)).fits).toBe(true);
    });

    test('accept as many concurrent costs as fit', async () => {
      const { keys } = await open();
      const states = await Promise.all(Array.from({ length: 10 }, () => keys.spend('crm', 3, RATE)));
      expect(states.map(({ fits }) => fits)).toEqual([...Array(3).fill(true), ...Array(7).fill(false)]);
    });

    test('start a new window when the last one has ended', async () => {
      const { keys } = await open();
      const short = { max: 1, windowMs: 100 };
      expect((await keys.spend('crm', 1, short)).fits).toBe(true);
      await expect.poll(async () => (await keys.spend('crm', 1, short)).fits).toBe(true);
    });

    test('end a window earlier when its length is reduced', async () => {
      const { keys } = await open();
      await keys.spend('crm', 1, RATE);
      expect((await keys.spend('crm', 1, { max: 10, windowMs: 1000 })).resetMs).toBeLessThanOrEqual(1000);
    });
  });
}
