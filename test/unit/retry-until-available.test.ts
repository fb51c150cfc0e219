import { expect, test, vi } from 'vitest';
import { AppError } from '../../src/core/errors.ts';
import { retryUntilAvailable } from '../../src/core/retry-until-available.ts';

test('retryUntilAvailable retries every second while the backend is unavailable', async () => {
  const wait = vi.fn(async (_ms: number) => {});
  let left = 3;
  const run = vi.fn(async () => {
    if (left-- > 0) throw new AppError('queue_unavailable');
    return 'done';
  });
  expect(await retryUntilAvailable(run, wait)).toBe('done');
  expect(run).toHaveBeenCalledTimes(4);
  expect(wait.mock.calls).toEqual(Array(3).fill([1000]));
});

test.each([
  ['another refusal', new AppError('queue_full')],
  ['a bug', new TypeError('a bug')],
])('retryUntilAvailable rethrows %s without a retry', async (_, error) => {
  const wait = vi.fn(async (_ms: number) => {});
  const run = vi.fn(() => Promise.reject(error));
  await expect(retryUntilAvailable(run, wait)).rejects.toBe(error);
  expect(run).toHaveBeenCalledTimes(1);
  expect(wait).not.toHaveBeenCalled();
});
