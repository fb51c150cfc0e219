import { expect, onTestFinished, test, vi } from 'vitest';
import { createMemoryQueue } from '../../src/adapters/memory/queue.ts';
import { startQueueWorkers } from '../../src/core/dispatch/queue-workers.ts';
import { createEvents } from '../../src/core/events.ts';

test('workers that all wait for a server are not busy until one goes on', async () => {
  const queue = createMemoryQueue();
  const handled: { readonly wasBusy: boolean; readonly end: () => void }[] = [];
  const workers = startQueueWorkers({
    queue,
    events: createEvents(),
    channel: 'bot@acme.com',
    count: 1,
    async handle(id) {
      const { promise, resolve } = Promise.withResolvers<void>();
      handled.push({ wasBusy: workers.isBusy(), end: resolve });
      await promise;
      await queue.done(id, 'bot@acme.com');
    },
  });
  onTestFinished(async () => {
    for (const { end } of handled) end();
    await workers.drain();
    queue.close();
  });
  expect(workers.isBusy()).toBe(false);

  const options = { channel: 'bot@acme.com', afterMs: 0, priority: 'normal' } as const;
  await queue.push('msg_1', options);
  await vi.waitFor(() => expect(handled).toHaveLength(1));
  await vi.waitFor(() => expect(workers.isBusy()).toBe(false));

  await queue.push('msg_2', options);
  handled[0]?.end();
  await vi.waitFor(() => expect(handled).toHaveLength(2));
  expect(handled.map(({ wasBusy }) => wasBusy)).toEqual([true, true]);
});
