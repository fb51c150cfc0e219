import { type Delivery, isSettled } from '../../../core/delivery/delivery.ts';
import {
  decodeContent,
  decodeRecord,
  encodeContent,
  encodeRecord,
} from '../../../core/delivery/delivery-codec.ts';
import { isQueueFull, type QueueLimits, queueFull } from '../../../core/delivery/queue-capacity.ts';
import type { RecordStore } from '../../../core/store-then-queue.ts';
import type { Connection } from '../connection/connection.ts';
import type { Argument } from '../connection/scripts.ts';
import { KEYS } from '../keys.ts';
import { toPendingPush } from '../pending-push.ts';
import { createListing } from './listing.ts';
import { INSERT, UPDATE } from './store-scripts.ts';
import { toTimelineMember } from './timeline-member.ts';

export interface RedisStoreOptions extends QueueLimits {
  readonly retainMs: number;
}

/**
 * Creates the DeliveryStore that all instances share. Each change is one script, so the limits hold
 * however many instances insert.
 */
export function createRedisStore(
  connection: Connection,
  { retainMs, ...limits }: RedisStoreOptions,
): RecordStore {
  const { maxMessages, maxBytes } = limits;
  const { clock, redis, pubSub } = connection;
  let messages = 0;
  let bytes = 0;

  function setUsage([usedMessages, usedBytes]: readonly unknown[]) {
    messages = Number(usedMessages ?? 0);
    bytes = Number(usedBytes ?? 0);
  }

  /** Stores the usage that a script reports, and returns its outcome. */
  function toOutcome(result: unknown): string {
    const [outcome, ...usage] = result as readonly unknown[];
    setUsage(usage);
    if (outcome === 'full') throw queueFull({ messages, bytes }, limits);
    return String(outcome);
  }

  async function get(id: string): Promise<Delivery | null> {
    const [record, content] = await connection.execute(() =>
      redis.hmgetBuffer(KEYS.delivery(id), 'record', 'content'),
    );
    return record ? decodeRecord(record.toString(), content?.length ? decodeContent(content) : null) : null;
  }

  /** Returns the transition of an update and its arguments, as {@link UPDATE} expects them. */
  function transitionOf(from: Delivery, to: Delivery): readonly Argument[] {
    if (isSettled(to.status))
      return ['settled', Math.ceil(clock.now() + retainMs), retainMs, to.content === null ? 1 : 0];
    if (isSettled(from.status))
      return ['reopened', maxMessages, maxBytes, JSON.stringify(toPendingPush(to, clock.now()))];
    return ['open'];
  }

  connection.onHeartbeat((usage) => setUsage(usage as readonly unknown[]));
  return {
    ...createListing(connection),
    get,
    // Nothing is dropped before RETAIN.
    tombstone: async () => null,
    async insert(delivery) {
      const { id, revision, content } = delivery;
      const keys = [KEYS.delivery(id), KEYS.unsettled, KEYS.usage, KEYS.timeline, KEYS.pendingPushes];
      const encodedContent = content === null ? '' : Buffer.from(encodeContent(content));
      const values = [id, revision, delivery.bytes, encodeRecord(delivery), encodedContent];
      const pending = JSON.stringify(toPendingPush(delivery, clock.now()));
      const limits = [maxMessages, maxBytes];
      const member = toTimelineMember(delivery);
      const result = await connection.runScript(INSERT, ...keys, ...values, member, ...limits, pending);
      return toOutcome(result) === 'known' ? ((await get(id)) ?? delivery) : delivery;
    },
    async update(from, to) {
      const { id } = to;
      const keys = [KEYS.delivery(id), KEYS.unsettled, KEYS.usage, KEYS.expiring, KEYS.pendingPushes];
      const isNews = isSettled(to.status) || to.status === 'deferred';
      const values = [id, from.revision, to.revision, encodeRecord(to), toTimelineMember(to)];
      const message = [isNews ? pubSub.channels.changed : '', pubSub.encode(id)];
      const transition = transitionOf(from, to);
      const result = await connection.runScript(UPDATE, ...keys, ...values, ...message, ...transition);
      return toOutcome(result) === 'done';
    },
    refusalCode() {
      if (!connection.isUsable()) return 'queue_unavailable';
      return isQueueFull({ messages, bytes }, limits) ? 'queue_full' : null;
    },
    freeBytes() {
      return maxBytes - bytes;
    },
    onRemoteChange(listener) {
      pubSub.onMessage('changed', listener);
    },
  };
}
