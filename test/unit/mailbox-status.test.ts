import { describe, expect, test } from 'vitest';
import { newAccountState, probeAfterChange } from '../../src/core/accounts/account-state.ts';
import { canLook, mailboxStatusOf, recordLook } from '../../src/core/accounts/mailbox-status.ts';

const MINUTE = 60_000;
const REFUSED = { code: 'imap_login_refused', detail: 'Invalid credentials.', isRefusal: true } as const;
const DOWN = { code: 'imap_unavailable', detail: 'It timed out.', isRefusal: false } as const;

function stateAfter(...faults: Parameters<typeof recordLook>[1][]) {
  const state = newAccountState(0);
  for (const fault of faults) recordLook(state, fault, 0);
  return state;
}

describe('the mailbox of an account', () => {
  test.each([
    ['off if nothing is read', [], 'off', { status: 'off', code: null }],
    ['off if there is none', [], 'none', { status: 'off', code: 'no_mailbox' }],
    ['ready before the first look', [], 'on', { status: 'ready', code: null }],
    ['ready after a look', [DOWN, null], 'on', { status: 'ready', code: null }],
    ['ready while the server is down, with the code', [DOWN], 'on', { status: 'ready', code: DOWN.code }],
    ['refused after a refusal', [REFUSED], 'on', { status: 'refused', code: REFUSED.code }],
  ] as const)('is %s', (_, faults, use, status) => {
    expect(mailboxStatusOf(stateAfter(...faults), use)).toEqual(status);
  });

  test('is not looked at for 15 minutes after a refusal', () => {
    const state = stateAfter(REFUSED);
    expect(canLook(state, 'on', 15 * MINUTE - 1)).toBe(false);
    expect(canLook(state, 'on', 15 * MINUTE)).toBe(true);
  });

  test('is looked at while the server is down, and never without a use', () => {
    expect(canLook(stateAfter(DOWN), 'on', 0)).toBe(true);
    expect(canLook(stateAfter(), 'none', 0)).toBe(false);
    expect(canLook(stateAfter(), 'off', 0)).toBe(false);
  });

  test('is looked at again once the configuration may have changed', () => {
    const state = stateAfter(REFUSED);
    probeAfterChange(state, 1);
    expect(canLook(state, 'on', 1)).toBe(true);
    expect(mailboxStatusOf(state, 'on')).toEqual({ status: 'ready', code: null });
  });
});
