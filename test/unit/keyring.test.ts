import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
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

function send(keyring: Keyring, times: number, caller = CRM): void {
  for (let i = 0; i < times; i++) keyring.take(caller).spend();
}

function refusalOf(keyring: Keyring, caller = CRM): AppError {
  try {
    keyring.take(caller);
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error('there was a place');
}

describe('the keys', () => {
  test('are those of the start until they are replaced', () => {
    const [crm, shop] = [aKeyOf('crm', null), aKeyOf('shop', null)];
    const keyring = createKeyring([crm]);
    expect([keyring.keys(), keyring.get('crm'), keyring.get('shop')]).toEqual([[crm], crm, null]);
    keyring.replace([shop]);
    expect([keyring.keys(), keyring.get('crm'), keyring.get('shop')]).toEqual([[shop], null, shop]);
  });

  test('are found by names that objects have of themselves only if there is such a key', () => {
    expect(createKeyring([]).get('constructor')).toBeNull();
  });
});

describe('the daily limit of a key', () => {
  test('lets that many messages in, and the next one when the first is 24 h old', () => {
    const keyring = createKeyring([aKeyOf('crm', 3)]);
    send(keyring, 1);
    vi.advanceTimersByTime(HOUR);
    send(keyring, 2);
    const { code, message, retryAfter = 0 } = refusalOf(keyring);
    expect(code).toBe('rate_limited');
    expect(message).toBe(`The key crm may have 3 messages accepted in 24 hours, its daily_limit. There is room again in ${retryAfter} s.`);
    expect(retryAfter * 1000).toBeGreaterThanOrEqual(WINDOW_MS - HOUR);
    expect(retryAfter * 1000).toBeLessThanOrEqual(WINDOW_MS - HOUR + MINUTE);
    vi.advanceTimersByTime(retryAfter * 1000);
    send(keyring, 1);
    expect(refusalOf(keyring).retryAfter).toBeGreaterThan(HOUR / 1000 - 1);
  });

  test('counts what is under way, and gives back the place of what was not accepted', () => {
    const keyring = createKeyring([aKeyOf('crm', 1)]);
    const hold = keyring.take(CRM);
    expect(refusalOf(keyring).retryAfter).toBeGreaterThan(0);
    hold.release();
    const other = keyring.take(CRM);
    other.spend();
    other.release();
    expect(refusalOf(keyring).code).toBe('rate_limited');
  });

  test("is its own: another key's messages do not count", () => {
    const keyring = createKeyring([aKeyOf('crm', 1), aKeyOf('shop', 1)]);
    send(keyring, 1);
    send(keyring, 1, { name: 'shop' });
    expect(refusalOf(keyring, { name: 'shop' }).message).toContain('The key shop');
  });

  test('is none for a key without one', () => {
    const keyring = createKeyring([aKeyOf('crm', null)]);
    send(keyring, 1000);
    expect(() => keyring.take(CRM)).not.toThrow();
  });

  test('may be changed: what was accepted before still counts', () => {
    const keyring = createKeyring([aKeyOf('crm', null)]);
    send(keyring, 5);
    keyring.replace([aKeyOf('crm', 5)]);
    expect(refusalOf(keyring).message).toContain('5 messages');
    keyring.replace([aKeyOf('crm', 6)]);
    send(keyring, 1);
    refusalOf(keyring);
    keyring.replace([aKeyOf('crm', 2)]);
    expect(refusalOf(keyring).message).toContain('2 messages');
    keyring.replace([aKeyOf('crm', null)]);
    send(keyring, 1);
  });

  test('is not reset by taking the key away for a while', () => {
    const keyring = createKeyring([aKeyOf('crm', 1)]);
    send(keyring, 1);
    keyring.replace([]);
    keyring.replace([aKeyOf('crm', 1)]);
    refusalOf(keyring);
  });
});
