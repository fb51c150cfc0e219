import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { AppError } from '../../src/core/errors.ts';

const { delay } = vi.hoisted(() => ({ delay: vi.fn(async () => {}) }));
vi.mock('node:timers/promises', () => ({ setTimeout: delay }));
const { retryUntilAvailable } = await import('../../src/core/retry-until-available.ts');

beforeEach(() => {
  delay.mockResolvedValue();
});
afterEach(() => {
  delay.mockClear();
});

test('retries every second while the backend is unavailable, and returns the result', async () => {
  let left = 3;
  const run = vi.fn(async () => {
    if (left-- > 0) throw new AppError('queue_unavailable');
    return 'done';
  });
  expect(await retryUntilAvailable(run)).toBe('done');
  expect(run).toHaveBeenCalledTimes(4);
  expect(delay.mock.calls).toEqual(Array(3).fill([1000, undefined, { ref: false }]));
});

test.each([
  ['another AppError', new AppError('queue_full')],
  ['a bug', new TypeError('a bug')],
])('rethrows any other error without a retry: %s', async (_, error) => {
  const run = vi.fn(() => Promise.reject(error));
  await expect(retryUntilAvailable(run)).rejects.toBe(error);
  expect(run).toHaveBeenCalledTimes(1);
  expect(delay).not.toHaveBeenCalled();
});
