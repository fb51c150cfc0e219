import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { AppError } from '../../src/core/errors.ts';

const { delay } = vi.hoisted(() => ({ delay: vi.fn(async () => {}) }));
vi.mock('node:timers/promises', () => ({ setTimeout: delay }));
const { retryUntilAvailable: insist } = await import('../../src/core/retry-until-available.ts');

beforeEach(() => {
  delay.mockResolvedValue();
});
afterEach(() => {
  delay.mockClear();
});

test('what the backend cannot do now is done once it can, after a rest each time', async () => {
  let left = 3;
  const run = vi.fn(async () => {
    if (left-- > 0) throw new AppError('queue_unavailable');
    return 'done';
  });
  expect(await insist(run)).toBe('done');
  expect(run).toHaveBeenCalledTimes(4);
  expect(delay.mock.calls).toEqual(Array(3).fill([1000, undefined, { ref: false }]));
});

test.each([
  ['another refusal', new AppError('queue_full')],
  ['a bug', new TypeError('a bug')],
])('what fails for another reason is not tried again: %s', async (_, error) => {
  const run = vi.fn(() => Promise.reject(error));
  await expect(insist(run)).rejects.toBe(error);
  expect(run).toHaveBeenCalledTimes(1);
  expect(delay).not.toHaveBeenCalled();
});
