import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { createRequestPacer } from '../../src/http/request/request-pacer.ts';

/**
 * Begins requests that come together.
 *
 * @param requestMs duration of each, which the clock of the test adds
 */
function paceTogether(requests: number, isSending: () => boolean, requestMs = 1) {
  let workedMs = 0;
  const pace = createRequestPacer(isSending, () => performance.now() + workedMs);
  const begun: { readonly request: number; readonly at: number }[] = [];
  const begin = (request: number) =>
    pace(() => {
      begun.push({ request, at: performance.now() });
      workedMs += requestMs;
    });
  for (let i = 0; i < requests; i += 1) begin(i);
  const all = () => vi.waitFor(() => expect(begun).toHaveLength(requests), { timeout: 10_000 });
  return { begin, begun, all };
}

test('all requests of a turn begin together at its end while no mail is being sent', async () => {
  const { begun } = paceTogether(100, () => false);
  expect(begun).toHaveLength(0);
  await nextTurn();
  expect(begun.map(({ request }) => request)).toEqual([...Array(100).keys()]);
});

test('requests begin in order while mail is being sent: one at once, 32 in the next turn', async () => {
  const { begun, all } = paceTogether(100, () => true);
  expect(begun).toHaveLength(1);
  await nextTurn();
  expect(begun).toHaveLength(33);
  await all();
  expect(begun.map(({ request }) => request)).toEqual([...Array(100).keys()]);
});

test('a batch of requests is followed by a pause of 5 times its duration', async () => {
  const { begun, all } = paceTogether(34, () => true);
  await all();
  const [last, next] = [begun[32], begun[33]];
  expect((next?.at ?? 0) - (last?.at ?? 0)).toBeGreaterThanOrEqual(5 * 32);
});

test('no pause of a few ms ends early', async () => {
  const requestMs = 0.02;
  const { begun, all } = paceTogether(1 + 32 * 10, () => true, requestMs);
  await all();
  const pauses = begun.flatMap(({ at, request }) => {
    const last = begun[request - 1];
    return request % 32 === 1 && request > 1 && last ? [at - last.at] : [];
  });
  expect(pauses).toHaveLength(9);
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(5 * 32 * requestMs);
});

test('a request that comes during a pause waits for its end', async () => {
  const { begin, begun } = paceTogether(33, () => true);
  await nextTurn();
  begin(33);
  expect(begun).toHaveLength(33);
  await vi.waitFor(() => expect(begun).toHaveLength(34), { timeout: 10_000 });
});

test('requests that wait begin even if sending has ended', async () => {
  let isSending = true;
  const { all } = paceTogether(40, () => isSending);
  isSending = false;
  await all();
});
