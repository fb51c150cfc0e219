import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { createRequestPacer } from '../../src/http/request/request-pacer.ts';

/** Begins requests that come together, each of which takes `busyMs` of the event loop. */
function paceTogether(requests: number, isSending: () => boolean, busyMs = 0) {
  const pace = createRequestPacer(isSending);
  const begun: { readonly request: number; readonly at: number }[] = [];
  const request = (number: number) => () => {
    const at = performance.now();
    begun.push({ request: number, at });
    while (performance.now() < at + busyMs);
  };
  for (let i = 0; i < requests; i += 1) pace(request(i));
  return { pace, begun };
}

test('all requests begin at once while no mail is being sent', () => {
  expect(paceTogether(100, () => false).begun).toHaveLength(100);
});

test('requests begin in order while mail is being sent: one at once, 32 in the next turn', async () => {
  const { begun } = paceTogether(100, () => true);
  expect(begun).toHaveLength(1);
  await nextTurn();
  expect(begun).toHaveLength(33);
  await vi.waitFor(() => expect(begun.map(({ request }) => request)).toEqual([...Array(100).keys()]));
});

test('a batch of requests is followed by a pause of more than twice its time', async () => {
  const { begun } = paceTogether(34, () => true, 1);
  await vi.waitFor(() => expect(begun).toHaveLength(34));
  const [, first, last, next] = [0, 1, 32, 33].map((i) => begun[i]?.at ?? 0) as [
    number,
    number,
    number,
    number,
  ];
  expect(next - last).toBeGreaterThan(2 * (last - first));
});

test('requests that come during a pause wait for its end', async () => {
  const { pace, begun } = paceTogether(33, () => true, 1);
  await nextTurn();
  const count = begun.length;
  let hasBegun = false;
  pace(() => {
    hasBegun = true;
  });
  expect({ count, hasBegun }).toEqual({ count: 33, hasBegun: false });
  await vi.waitFor(() => expect(hasBegun).toBe(true));
});

test('requests that wait begin even if sending has ended', async () => {
  let isSending = true;
  const { begun } = paceTogether(40, () => isSending);
  isSending = false;
  await vi.waitFor(() => expect(begun).toHaveLength(40));
});
