import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { createRequestPacer } from '../../src/http/request/request-pacer.ts';

/** Begins requests that come together, each of which takes 1 ms of a clock that stands still else. */
function paceTogether(requests: number, isSending: () => boolean) {
  let clock = 0;
  const pace = createRequestPacer(isSending, () => clock);
  const begun: { readonly request: number; readonly at: number }[] = [];
  const begin = (request: number) =>
    pace(() => {
      begun.push({ request, at: performance.now() });
      clock += 1;
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

test('a batch of requests is followed by a pause of 3.5 times its duration', async () => {
  const { begun, all } = paceTogether(34, () => true);
  await all();
  const [last, next] = [begun[32], begun[33]];
  expect((next?.at ?? 0) - (last?.at ?? 0)).toBeGreaterThan(3.5 * 32 - 2);
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
