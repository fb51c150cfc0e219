import { createMemoryOutbox } from '../../src/adapters/memory/outbox.ts';
import { outboxContract } from './outbox.ts';

outboxContract('memory', async ({ maxMessages, maxBytes }) => ({
  outbox: createMemoryOutbox({ maxNotices: maxMessages, maxBytes }),
  async close() {},
}));
