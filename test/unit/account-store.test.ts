import { expect, test } from 'vitest';
import { newAccountState } from '../../src/core/accounts/account-state.ts';
import { createAccountStore } from '../../src/core/accounts/account-store.ts';
import { advance } from '../../src/core/delivery/delivery.ts';
import { AppError } from '../../src/core/errors.ts';
import type { SharedValue } from '../../src/core/ports/shared-state.ts';
import { aBackend, aSharedValue } from '../helpers/core.ts';
import { aDelivery } from '../helpers/delivery.ts';

/** Changes a state and a delivery in one step that fails once: before it is stored, or after. */
async function changeWithFailure(failsAt: 'start' | 'end') {
  const { store } = aBackend();
  const from = await store.insert(aDelivery());
  const state = newAccountState(0);
  const own = aSharedValue(state);
  let failures = 1;
  const failAt = (moment: typeof failsAt) => {
    if (moment === failsAt && failures-- > 0) throw new AppError('queue_unavailable');
  };
  const value: SharedValue<typeof state> = {
    ...own,
    async changeWith(edit, changeOf) {
      failAt('start');
      const result = await own.change(edit);
      const change = changeOf(result);
      const isStored = change && (await store.update(change.from, change.to));
      failAt('end');
      return { result, isStored };
    },
  };
  const accountStore = createAccountStore(value, { now: () => 0, shared: true });
  const to = advance(from, 'sending');
  const changed = await accountStore.changeWith((draft) => ++draft.probeRequestedAt, {
    store,
    wait: async () => {},
    changeOf: () => ({ from, to, effect: null, notices: [] }),
  });
  return { changed, count: state.probeRequestedAt, status: (await store.get(from.id))?.status };
}

test('makes a change once although its reply is lost', async () => {
  expect(await changeWithFailure('end')).toEqual({
    changed: { result: 1, isStored: false },
    count: 1,
    status: 'sending',
  });
});

test('makes a change again that was not stored', async () => {
  expect(await changeWithFailure('start')).toEqual({
    changed: { result: 1, isStored: true },
    count: 1,
    status: 'sending',
  });
});
