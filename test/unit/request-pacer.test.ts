import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createRequestPacer } from '../../src/http/request/request-pacer.ts';

/** Returns the number of requests that have begun after each of some turns. */
async function begunPerTurn(requests: number, isSending: () => boolean, turns: number) {
  const pace = createRequestPacer(isSending);
  const begun: number[] = [];
  for (let i = 0; i < requests; i += 1) pace(() => begun.push(i));
  const counts = [begun.length];
  for (let turn = 0; turn < turns; turn += 1) {
    await nextTurn();
    counts.push(begun.length);
  }
  expect(begun).toEqual(begun.toSorted((a, b) => a - b));
  return counts;
}

test('all requests begin at once while no mail is being sent', async () => {
  expect(await begunPerTurn(100, () => false, 0)).toEqual([100]);
});

test('two requests begin per turn of the event loop while mail is being sent, in order', async () => {
  expect(await begunPerTurn(5, () => true, 3)).toEqual([2, 4, 5, 5]);
});

test('requests that wait begin even if sending has ended', async () => {
  let isSending = true;
  const counts = begunPerTurn(4, () => isSending, 2);
  isSending = false;
  expect(await counts).toEqual([2, 4, 4]);
});
