import { type Delivery, isSettled } from '../../../core/delivery/delivery.ts';
import {
  decodeContent,
  decodeRecord,
  encodeContent,
  encodeRecord,
} from '../../../core/delivery/delivery-codec.ts';
import { isQueueFull, type QueueLimits, queueFull } from '../../../core/delivery/queue-capacity.ts';
import type { DeliveryStore } from '../../../core/ports/delivery-store.ts';
import type { Connection } from '../connection/connection.ts';
import type { Argument } from '../connection/scripts.ts';
import { KEYS } from '../keys.ts';
import { pendingPushesOf } from '../queue/pending-pushes.ts';
import { createListing } from './listing.ts';
import { INSERT, UPDATE } from './store-scripts.ts';
import { toTimelineMember } from './timeline.ts';

export interface RedisStoreOptions extends QueueLimits {
  readonly retainMs: number;
}

/** A Store that all instances share: each change is one step in Redis, so that its bounds hold whoever inserts. */
export function createRedisStore(
  connection: Connection,
  { retainMs, ...limits }: RedisStoreOptions,
): DeliveryStore {
  const { maxMessages, maxBytes } = limits;
  const { clock, redis, news } = connection;
  let messages = 0;
  let bytes = 0;

  function note([countedMessages, countedBytes]: readonly unknown[]) {
    messages = Number(countedMessages ?? 0);
    bytes = Number(countedBytes ?? 0);
  }

  /** What the last step of a script was, having noted the usage that it tells too. */
  function outcomeOf(answer: unknown): string {
    const [outcome, ...usage] = answer as readonly unknown[];
    note(usage);
    if (outcome === 'full') throw queueFull({ messages, bytes }, limits);
    return String(outcome);
  }

  async function get(id: string): Promise<Delivery | null> {
    const [record, content] = await connection.ask(() =>
      redis.hmgetBuffer(KEYS.delivery(id), 'record', 'content'),
    );
    return record ? decodeRecord(record.toString(), content?.length ? decodeContent(content) : null) : null;
  }

  /** What becomes of it besides being replaced. */
  function effectOf(from: Delivery, to: Delivery): readonly Argument[] {
    if (isSettled(to.status))
      return ['settled', Math.ceil(clock.now() + retainMs), retainMs, to.content === null ? 1 : 0];
    if (isSettled(from.status))
      return ['reopened', maxMessages, maxBytes, JSON.stringify(pendingPushesOf(to, clock.now()))];
    return ['open'];
  }

  connection.onBeat((usage) => note(usage as readonly unknown[]));
  return {
    ...createListing(connection),
    get,
    // Nothing is dropped before RETAIN.
    tombstone: async () => null,
    async insert(delivery) {
      const { id, revision, content } = delivery;
      const keys = [KEYS.delivery(id), KEYS.unsettled, KEYS.usage, KEYS.timeline, KEYS.unqueued];
      const encoded = content === null ? '' : Buffer.from(encodeContent(content));
      const values = [
        id,
        revision,
        delivery.bytes,
        encodeRecord(delivery),
        encoded,
        toTimelineMember(delivery),
      ];
      const entry = JSON.stringify(pendingPushesOf(delivery, clock.now()));
      const answer = await connection.run(INSERT, ...keys, ...values, maxMessages, maxBytes, entry);
      return outcomeOf(answer) === 'known' ? ((await get(id)) ?? delivery) : delivery;
    },
    async update(from, to) {
      const { id } = to;
      const keys = [KEYS.delivery(id), KEYS.unsettled, KEYS.usage, KEYS.leaving, KEYS.unqueued];
      const topic = isSettled(to.status) || to.status === 'deferred' ? news.changed : '';
      const values = [
        id,
        from.revision,
        to.revision,
        encodeRecord(to),
        toTimelineMember(to),
        topic,
        `${connection.instance} ${id}`,
      ];
      return outcomeOf(await connection.run(UPDATE, ...keys, ...values, ...effectOf(from, to))) === 'kept';
    },
    refusal() {
      if (!connection.isUsable()) return 'queue_unavailable';
      return isQueueFull({ messages, bytes }, limits) ? 'queue_full' : null;
    },
    freeBytes() {
      return maxBytes - bytes;
    },
    onChangeElsewhere(listener) {
      connection.onNews('changed', listener);
    },
  };
}
