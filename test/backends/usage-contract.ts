import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { type Account, createAccount } from '../../src/core/accounts/account.ts';
import { newAccountState } from '../../src/core/accounts/account-state.ts';
import { upgradeAccountState } from '../../src/core/accounts/upgrade-account-state.ts';
import { createApiKeys } from '../../src/core/auth/api-keys.ts';
import { AppError } from '../../src/core/errors.ts';
import { createEvents } from '../../src/core/events.ts';
import type { Backend } from '../../src/core/ports/backend.ts';
import type { SharedState } from '../../src/core/ports/shared-state.ts';
import type { Allowance } from '../../src/core/quota.ts';
import { HOUR, MINUTE } from '../../src/core/time.ts';
import { addUsage, copyUsage, subtractUsage, totalUsage, WINDOW_MS } from '../../src/core/usage.ts';
import { AMPLE } from '../helpers/core.ts';
import { aDelivery } from '../helpers/delivery.ts';
import { formerAccountValue, formerKeyValue } from '../helpers/former-shared-state.ts';
import { aKey } from '../helpers/keys.ts';
import { anAcceptance } from '../helpers/outcome.ts';

const ONE = { messages: 1, recipients: 2 };
const MISTAKE = new Error('mistake');
const KEY = aKey('secret-0123456789-abcdefghijklmn', { name: 'crm', dailyLimit: 4 });

/** Creates empty storage. Returns a function that opens one more backend on it. */
export type CreateStorage = () => Promise<() => Promise<Backend>>;

const openCounted = (sharedState: SharedState) => sharedState.open('account:a', () => ({ edits: 0 }));

async function openAccount(sharedState: SharedState, allowance: Allowance): Promise<Account> {
  return createAccount('bot@acme.com', {
    events: createEvents(),
    sharedState,
    state: await sharedState.open(
      'account:bot@acme.com',
      () => newAccountState(sharedState.now()),
      upgradeAccountState,
    ),
    allowance,
    rate: null,
    connections: 3,
    connectionsHere: 3,
    backoffScale: 1,
    closeIdleConnections: () => 0,
  });
}

async function usedIn(sharedState: SharedState) {
  const value = await openCounted(sharedState);
  await value.read();
  return totalUsage(value.usage, sharedState.now());
}

/** What every backend promises of the usage beside a shared value. */
export function usageContract(name: string, open: () => Promise<Backend>): void {
  describe(`the usage in ${name}`, () => {
    test('changes together with the value', async () => {
      const { sharedState, close } = await open();
      const values = await Promise.all([1, 2, 3].map(() => openCounted(sharedState)));
      const now = sharedState.now();
      await Promise.all(
        Array.from({ length: 60 }, (_, i) =>
          values[i % 3]?.change((value, usage) => {
            value.edits += 1;
            addUsage(usage, ONE, now + (i % 4) * HOUR);
          }),
        ),
      );
      expect((await values[1]?.read())?.edits).toBe(60);
      expect(totalUsage(values[1]?.usage ?? [], now)).toEqual({ messages: 60, recipients: 120 });
      await close();
    });

    test('drops what has left the window, and gets back what is taken back', async () => {
      const { sharedState, close } = await open();
      const value = await openCounted(sharedState);
      const now = sharedState.now();
      await value.change((_value, usage) => addUsage(usage, ONE, now - WINDOW_MS - HOUR));
      const leavesAt = await value.change((_value, usage) => addUsage(usage, ONE, now));
      await value.change((_value, usage) => addUsage(usage, ONE, now + HOUR));
      expect(value.usage).toHaveLength(2);
      await value.change((_value, usage) => subtractUsage(usage, ONE, leavesAt));
      await value.read();
      expect(value.usage).toHaveLength(1);
      expect(totalUsage(value.usage, now)).toEqual(ONE);
      await close();
    });

    test('is separate for each value', async () => {
      const { sharedState, close } = await open();
      await (await openCounted(sharedState)).change((_value, usage) =>
        addUsage(usage, ONE, sharedState.now()),
      );
      const other = await sharedState.open('account:b', () => ({}));
      await other.read();
      expect(other.usage).toEqual([]);
      await close();
    });
  });
}

/** What durable backends promise as well. */
export function durableUsageContract(name: string, createStorage: CreateStorage): void {
  describe(`the usage that ${name} keeps`, () => {
    test('is there when it is opened again, without what was dropped or taken back', async () => {
      const open = await createStorage();
      const first = await open();
      const value = await openCounted(first.sharedState);
      const now = first.sharedState.now();
      await value.change((_value, usage) => addUsage(usage, ONE, now - WINDOW_MS - HOUR));
      await first.store.insert(aDelivery());
      for (let i = 0; i < 5; i++) await value.change((_value, usage) => addUsage(usage, ONE, now));
      const leavesAt = await value.change((_value, usage) => addUsage(usage, ONE, now + HOUR));
      await first.store.insert(aDelivery());
      await value.change((_value, usage) => subtractUsage(usage, ONE, leavesAt));
      await first.store.insert(aDelivery());
      await first.close();
      const second = await open();
      expect(await usedIn(second.sharedState)).toEqual({ messages: 5, recipients: 10 });
      expect((await openCounted(second.sharedState)).usage).toHaveLength(1);
      await second.close();
    });
  });
}

/** What instances on one backend promise each other. */
export function sharedUsageContract(name: string, createStorage: CreateStorage): void {
  describe(`the usage that instances on ${name} share`, () => {
    test('never exceeds a limit, whichever instances count at the same time', async () => {
      const open = await createStorage();
      const backends = await Promise.all([open(), open(), open()]);
      const values = await Promise.all(backends.map(({ sharedState }) => openCounted(sharedState)));
      const admitted = await Promise.all(
        Array.from({ length: 120 }, async (_, i) => {
          const now = backends[0]?.sharedState.now() ?? 0;
          return values[i % 3]?.change((value, usage) => {
            if (totalUsage(usage, now).messages >= 50) return false;
            value.edits += 1;
            addUsage(usage, ONE, now + (i % 5) * HOUR);
            return true;
          });
        }),
      );
      expect(admitted.filter(Boolean)).toHaveLength(50);
      for (const { sharedState } of backends)
        expect(await usedIn(sharedState)).toEqual({ messages: 50, recipients: 100 });
      await Promise.all(backends.map(({ close }) => close()));
    });

    test('is seen in full by an instance that changes the value, whatever another one changed before', async () => {
      const open = await createStorage();
      const backends = await Promise.all([open(), open()]);
      const values = await Promise.all(backends.map(({ sharedState }) => openCounted(sharedState)));
      const start = backends[0]?.sharedState.now() ?? 0;
      const counted: number[] = [];
      for (let i = 0; i < 120; i++) {
        const [changing, reading] = i % 3 === 0 ? values : values.toReversed();
        await changing?.change((value, usage) => {
          value.edits += 1;
          const at = start + Math.floor(i / 4) * MINUTE * 7;
          if (i % 5 === 4) subtractUsage(usage, ONE, counted[Math.floor(i / 2)] ?? 0);
          else if (i % 7 !== 6) counted[i] = addUsage(usage, ONE, at);
        });
        if (i % 4 === 1) continue;
        await reading?.change(() => {});
        const seen = copyUsage(reading?.usage ?? []);
        await reading?.read();
        expect(seen).toEqual(reading?.usage);
        expect(seen).toEqual(changing?.usage);
      }
      await Promise.all(backends.map(({ close }) => close()));
    });

    test('is not changed by an edit that throws, also where another edit is made with it', async () => {
      const open = await createStorage();
      const { sharedState, close } = await open();
      const value = await openCounted(sharedState);
      const edits = Array.from({ length: 6 }, (_, i) =>
        value.change((_value, usage) => {
          addUsage(usage, ONE, sharedState.now());
          if (i % 2) throw MISTAKE;
        }),
      );
      const results = await Promise.allSettled(edits);
      expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(3);
      expect(await usedIn(sharedState)).toEqual({ messages: 3, recipients: 6 });
      await close();
    });

    test('lets an account keep to its quota at all instances together, attempts under way included', async () => {
      const open = await createStorage();
      const backends = await Promise.all([open(), open(), open()]);
      const accounts = await Promise.all(
        backends.map(({ sharedState }) => openAccount(sharedState, { ...AMPLE, messages: 20 })),
      );
      for (const account of accounts) await account.join();
      let underWay = 0;
      let sent = 0;
      /** Sends until the quota is used up. Each message is under way for a moment. */
      const work = async (account: Account) => {
        for (;;) {
          const result = await account.admit(aDelivery(), AbortSignal.timeout(10_000));
          if (result?.kind !== 'admitted') return result?.pause.error.code;
          underWay += 1;
          expect(sent + underWay).toBeLessThanOrEqual(20);
          await nextTurn();
          await result.permit.settle(anAcceptance(['ada@example.com']));
          sent += 1;
          underWay -= 1;
        }
      };
      const ends = await Promise.all([...accounts, ...accounts, ...accounts].map(work));
      expect(new Set(ends)).toEqual(new Set(['daily_limit_reached']));
      expect(sent).toBe(20);
      for (const account of accounts)
        expect((await account.readStatus()).quota.messages).toMatchObject({ limit: 20, used: 20 });
      for (const account of accounts) await account.leave();
      await Promise.all(backends.map(({ close }) => close()));
    });

    test('lets API keys keep to their daily limit at all instances together', async () => {
      const open = await createStorage();
      const backends = await Promise.all([open(), open()]);
      const keys = backends.map(({ sharedState }) => createApiKeys([KEY], sharedState));
      const reserved = await Promise.allSettled(
        Array.from({ length: 12 }, (_, i) => keys[i % 2]?.reserve(KEY)),
      );
      expect(reserved.filter(({ status }) => status === 'fulfilled')).toHaveLength(4);
      for (const result of reserved)
        if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(AppError);
      await Promise.all(backends.map(({ close }) => close()));
    });
  });
}

/**
 * What becomes of data that version 0.1 stored.
 *
 * @param createStorage stores each value under its name, as version 0.1 did. Opens the storage with
 *   today's code
 */
export function upgradeContract(
  name: string,
  createStorage: (values: Readonly<Record<string, object>>) => ReturnType<CreateStorage>,
): void {
  describe(`what version 0.1 stored in ${name}`, () => {
    /** Opens the storage twice: as version 0.1 left it, and after the upgrade. */
    async function eachTime(
      values: Readonly<Record<string, object>>,
      check: (sharedState: SharedState) => Promise<void>,
    ) {
      const open = await createStorage(values);
      for (let i = 0; i < 2; i++) {
        const backend = await open();
        await check(backend.sharedState);
        await backend.store.insert(aDelivery());
        await backend.close();
      }
    }

    test('of an account keeps its count, its learned limit and its pause, and nothing of dead instances', () => {
      const former = formerAccountValue(Date.now());
      return eachTime({ 'account:bot@acme.com': former }, async (sharedState) => {
        const account = await openAccount(sharedState, { ...AMPLE, messages: 2000 });
        const { pause, quota, connections } = await account.readStatus();
        expect(pause).toMatchObject({
          error: former.gate.paused.error,
          since: former.gate.paused.since,
        });
        expect(Math.abs((pause?.until ?? 0) - Date.now() - HOUR)).toBeLessThan(MINUTE);
        expect(quota).toMatchObject({
          messages: { limit: 2000, learned: 4, used: 4 },
          recipients: { learned: 8, used: 8 },
          countedSince: Math.round(former.quota.countedSince),
        });
        expect((quota.freesAt ?? 0) - Date.now()).toBeGreaterThan(HOUR - MINUTE);
        expect((quota.freesAt ?? 0) - Date.now()).toBeLessThan(HOUR + 12 * MINUTE);
        expect(connections).toEqual({ max: 3, allowed: 2, busy: 0 });
        await account.join();
        const admission = await account.admit(aDelivery(), AbortSignal.timeout(2000));
        expect(admission).toMatchObject({ kind: 'deferred', pause: { error: former.gate.paused.error } });
        await account.leave();
      });
    });

    test('of an API key keeps its count', () =>
      eachTime({ 'key:crm': formerKeyValue(Date.now()) }, async (sharedState) => {
        const keys = createApiKeys([KEY], sharedState);
        await expect(keys.reserve(KEY)).rejects.toMatchObject({ code: 'rate_limited' });
        keys.replace([{ ...KEY, dailyLimit: 5 }]);
        await (await keys.reserve(KEY)).release();
      }));
  });
}
