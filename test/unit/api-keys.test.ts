import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createMemorySharedState } from '../../src/adapters/memory/shared-state.ts';
import { type ApiKeys, createApiKeys } from '../../src/core/auth/api-keys.ts';
import { AppError } from '../../src/core/errors.ts';
import { HOUR, MINUTE } from '../../src/core/time.ts';
import { WINDOW_MS } from '../../src/core/usage.ts';
import { SECRET } from '../helpers/config.ts';
import { aKey } from '../helpers/keys.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

function aKeyOf(name: string, dailyLimit: number | null) {
  return aKey(`${SECRET}-${name}`, { name, dailyLimit });
}

const CRM = { name: 'crm' };

async function send(apiKeys: ApiKeys, times: number, caller = CRM): Promise<void> {
  for (let i = 0; i < times; i++) await apiKeys.reserve(caller);
}

async function refusalOf(apiKeys: ApiKeys, caller = CRM): Promise<AppError> {
  try {
    await apiKeys.reserve(caller);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('a slot was free');
}

describe('the API keys', () => {
  test('are the initial ones until they are replaced', () => {
    const [crm, shop] = [aKeyOf('crm', null), aKeyOf('shop', null)];
    const apiKeys = createApiKeys([crm], createMemorySharedState());
    expect([apiKeys.keys(), apiKeys.get('crm'), apiKeys.get('shop')]).toEqual([[crm], crm, null]);
    apiKeys.replace([shop]);
    expect([apiKeys.keys(), apiKeys.get('crm'), apiKeys.get('shop')]).toEqual([[shop], null, shop]);
  });

  test('have no names that they inherit as an object', () => {
    expect(createApiKeys([], createMemorySharedState()).get('constructor')).toBeNull();
  });
});

describe('the daily limit of a key', () => {
  test('allows that number of messages, and another once the first is 24 h old', async () => {
    const apiKeys = createApiKeys([aKeyOf('crm', 3)], createMemorySharedState());
    await send(apiKeys, 1);
    vi.advanceTimersByTime(HOUR);
    await send(apiKeys, 2);
    const { code, message, retryAfter = 0 } = await refusalOf(apiKeys);
    expect(code).toBe('rate_limited');
    expect(message).toBe(
      `The key crm may have 3 messages accepted in 24 hours, its daily_limit. There is room again in ${retryAfter} s.`,
    );
    expect(retryAfter * 1000).toBeGreaterThanOrEqual(WINDOW_MS - HOUR);
    expect(retryAfter * 1000).toBeLessThanOrEqual(WINDOW_MS - HOUR + 10 * MINUTE);
    vi.advanceTimersByTime(retryAfter * 1000);
    await send(apiKeys, 1);
    expect((await refusalOf(apiKeys)).retryAfter).toBeGreaterThan(HOUR / 1000 - 1);
  });

  test('gets back the slot of a message that was not stored', async () => {
    const apiKeys = createApiKeys([aKeyOf('crm', 1)], createMemorySharedState());
    const reservation = await apiKeys.reserve(CRM);
    expect((await refusalOf(apiKeys)).retryAfter).toBeGreaterThan(0);
    await reservation.release();
    await send(apiKeys, 1);
    expect((await refusalOf(apiKeys)).code).toBe('rate_limited');
  });

  test('holds for all instances together', async () => {
    const sharedState = createMemorySharedState();
    const [one, other] = [
      createApiKeys([aKeyOf('crm', 3)], sharedState),
      createApiKeys([aKeyOf('crm', 3)], sharedState),
    ];
    const reserved = await Promise.allSettled(
      Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? one : other).reserve(CRM)),
    );
    expect(reserved.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    await refusalOf(one);
    await refusalOf(other);
  });

  test('opens shared state again after that failed', async () => {
    const sharedState = createMemorySharedState();
    const open = vi.spyOn(sharedState, 'open').mockRejectedValueOnce(new AppError('queue_unavailable'));
    const apiKeys = createApiKeys([aKeyOf('crm', 1)], sharedState);
    expect((await refusalOf(apiKeys)).code).toBe('queue_unavailable');
    await send(apiKeys, 1);
    expect((await refusalOf(apiKeys)).code).toBe('rate_limited');
    expect(open).toHaveBeenCalledTimes(2);
  });

  test("does not count another key's messages", async () => {
    const apiKeys = createApiKeys([aKeyOf('crm', 1), aKeyOf('shop', 1)], createMemorySharedState());
    await send(apiKeys, 1);
    await send(apiKeys, 1, { name: 'shop' });
    expect((await refusalOf(apiKeys, { name: 'shop' })).message).toContain('The key shop');
  });

  test('is unlimited for a key without one, and nothing is counted', async () => {
    const sharedState = createMemorySharedState();
    const open = vi.spyOn(sharedState, 'open');
    const apiKeys = createApiKeys([aKeyOf('crm', null)], sharedState);
    await send(apiKeys, 1000);
    await (await apiKeys.reserve(CRM)).release();
    expect(open).not.toHaveBeenCalled();
  });

  test('counts from when a key gets one', async () => {
    const apiKeys = createApiKeys([aKeyOf('crm', null)], createMemorySharedState());
    await send(apiKeys, 5);
    apiKeys.replace([aKeyOf('crm', 5)]);
    await send(apiKeys, 5);
    await refusalOf(apiKeys);
  });

  test('may be changed: messages that were counted before still count', async () => {
    const apiKeys = createApiKeys([aKeyOf('crm', 10)], createMemorySharedState());
    await send(apiKeys, 5);
    apiKeys.replace([aKeyOf('crm', 5)]);
    expect((await refusalOf(apiKeys)).message).toContain('5 messages');
    apiKeys.replace([aKeyOf('crm', 6)]);
    await send(apiKeys, 1);
    await refusalOf(apiKeys);
    apiKeys.replace([aKeyOf('crm', 2)]);
    expect((await refusalOf(apiKeys)).message).toContain('2 messages');
    apiKeys.replace([aKeyOf('crm', null)]);
    await send(apiKeys, 1);
    apiKeys.replace([aKeyOf('crm', 6)]);
    await refusalOf(apiKeys);
  });

  test('is not reset by removing the key for a while', async () => {
    const apiKeys = createApiKeys([aKeyOf('crm', 1)], createMemorySharedState());
    await send(apiKeys, 1);
    apiKeys.replace([]);
    apiKeys.replace([aKeyOf('crm', 1)]);
    await refusalOf(apiKeys);
  });
});
