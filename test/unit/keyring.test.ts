import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createMemoryBooks } from '../../src/adapters/memory/books.ts';
import { AppError } from '../../src/core/errors.ts';
import { createKeyring, type Keyring } from '../../src/core/keyring.ts';
import { WINDOW_MS } from '../../src/core/quota.ts';
import { SECRET } from '../helpers/config.ts';
import { aKey } from '../helpers/keys.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

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

async function send(keyring: Keyring, times: number, caller = CRM): Promise<void> {
  for (let i = 0; i < times; i++) await keyring.take(caller);
}

async function refusalOf(keyring: Keyring, caller = CRM): Promise<AppError> {
  try {
    await keyring.take(caller);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('there was a place');
}

describe('the keys', () => {
  test('are those of the start until they are replaced', () => {
    const [crm, shop] = [aKeyOf('crm', null), aKeyOf('shop', null)];
    const keyring = createKeyring([crm], createMemoryBooks());
    expect([keyring.keys(), keyring.get('crm'), keyring.get('shop')]).toEqual([[crm], crm, null]);
    keyring.replace([shop]);
    expect([keyring.keys(), keyring.get('crm'), keyring.get('shop')]).toEqual([[shop], null, shop]);
  });

  test('are found by names that objects have of themselves only if there is such a key', () => {
    expect(createKeyring([], createMemoryBooks()).get('constructor')).toBeNull();
  });
});

describe('the daily limit of a key', () => {
  test('lets that many messages in, and the next one when the first is 24 h old', async () => {
    const keyring = createKeyring([aKeyOf('crm', 3)], createMemoryBooks());
    await send(keyring, 1);
    vi.advanceTimersByTime(HOUR);
    await send(keyring, 2);
    const { code, message, retryAfter = 0 } = await refusalOf(keyring);
    expect(code).toBe('rate_limited');
    expect(message).toBe(`The key crm may have 3 messages accepted in 24 hours, its daily_limit. There is room again in ${retryAfter} s.`);
    expect(retryAfter * 1000).toBeGreaterThanOrEqual(WINDOW_MS - HOUR);
    expect(retryAfter * 1000).toBeLessThanOrEqual(WINDOW_MS - HOUR + MINUTE);
    vi.advanceTimersByTime(retryAfter * 1000);
    await send(keyring, 1);
    expect((await refusalOf(keyring)).retryAfter).toBeGreaterThan(HOUR / 1000 - 1);
  });

  test('gives back the place of what was not accepted after all', async () => {
    const keyring = createKeyring([aKeyOf('crm', 1)], createMemoryBooks());
    const place = await keyring.take(CRM);
    expect((await refusalOf(keyring)).retryAfter).toBeGreaterThan(0);
    await place.giveBack();
    await send(keyring, 1);
    expect((await refusalOf(keyring)).code).toBe('rate_limited');
  });

  test('holds over all instances that share the books', async () => {
    const books = createMemoryBooks();
    const [one, other] = [createKeyring([aKeyOf('crm', 3)], books), createKeyring([aKeyOf('crm', 3)], books)];
    const taken = await Promise.allSettled(Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? one : other).take(CRM)));
    expect(taken.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    await refusalOf(one);
    await refusalOf(other);
  });

  test('is asked for again after the books could not be opened', async () => {
    const books = createMemoryBooks();
    const open = vi.spyOn(books, 'open').mockRejectedValueOnce(new AppError('queue_unavailable'));
    const keyring = createKeyring([aKeyOf('crm', 1)], books);
    expect((await refusalOf(keyring)).code).toBe('queue_unavailable');
    await send(keyring, 1);
    expect((await refusalOf(keyring)).code).toBe('rate_limited');
    expect(open).toHaveBeenCalledTimes(2);
  });

  test("is its own: another key's messages do not count", async () => {
    const keyring = createKeyring([aKeyOf('crm', 1), aKeyOf('shop', 1)], createMemoryBooks());
    await send(keyring, 1);
    await send(keyring, 1, { name: 'shop' });
    expect((await refusalOf(keyring, { name: 'shop' })).message).toContain('The key shop');
  });

  test('is none for a key without one', async () => {
    const keyring = createKeyring([aKeyOf('crm', null)], createMemoryBooks());
    await send(keyring, 1000);
    await expect(keyring.take(CRM)).resolves.toBeDefined();
  });

  test('may be changed: what was accepted before still counts', async () => {
    const keyring = createKeyring([aKeyOf('crm', null)], createMemoryBooks());
    await send(keyring, 5);
    keyring.replace([aKeyOf('crm', 5)]);
    expect((await refusalOf(keyring)).message).toContain('5 messages');
    keyring.replace([aKeyOf('crm', 6)]);
    await send(keyring, 1);
    await refusalOf(keyring);
    keyring.replace([aKeyOf('crm', 2)]);
    expect((await refusalOf(keyring)).message).toContain('2 messages');
    keyring.replace([aKeyOf('crm', null)]);
    await send(keyring, 1);
  });

  test('is not reset by taking the key away for a while', async () => {
    const keyring = createKeyring([aKeyOf('crm', 1)], createMemoryBooks());
    await send(keyring, 1);
    keyring.replace([]);
    keyring.replace([aKeyOf('crm', 1)]);
    await refusalOf(keyring);
  });
});
