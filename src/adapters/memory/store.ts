import { type Delivery, isSettled } from '../../core/delivery/delivery.ts';
import { matchesQuery } from '../../core/delivery/delivery-query.ts';
import {
  checkQueueCapacity,
  isQueueFull,
  type QueueLimits,
  type QueueUsage,
} from '../../core/delivery/queue-capacity.ts';
import { type Content, contentBytes, recordBytes } from '../../core/message/message.ts';
import type { DeliveryStore, Tombstone } from '../../core/ports/delivery-store.ts';
import { createRetained, type RetainedOptions } from './retained.ts';
import { createTimeline } from './timeline.ts';

export interface MemoryStoreOptions extends QueueLimits {
  readonly retained: RetainedOptions;
  /** How many deliveries that were dropped before RETAIN are still known by their status. */
  readonly maxTombstones: number;
}

/** A Store in memory. Deliveries are immutable, so it hands out the ones it holds. */
export function createMemoryStore({ retained, maxTombstones, ...limits }: MemoryStoreOptions): DeliveryStore {
  const open = new Map<string, Delivery>();
  const tombstones = createRetained<Tombstone>({ ...retained, maxCount: maxTombstones, onEarly() {} });
  const settled = createRetained<Delivery>({
    ...retained,
    onEarly({ id, owner, status, finishedAt }) {
      tombstones.set(id, { id, status, finishedAt }, { owner, bytes: 0 });
      retained.onEarly(id);
    },
  });
  /** Of what may be tried again. Apart, so that large ones that have to go do not take the records of others with them. */
  const contents = createRetained<Content>(retained);
  const timeline = createTimeline((id) => open.has(id) || settled.get(id) !== undefined);
  let bytes = 0;

  function find(id: string): Delivery | null {
    const waiting = open.get(id);
    if (waiting) return waiting;
    const record = settled.get(id);
    if (!record) return null;
    const content = contents.get(id);
    return content ? { ...record, content } : record;
  }

  function usage(): QueueUsage {
    return { messages: open.size, bytes };
  }

  function admit(delivery: Delivery) {
    checkQueueCapacity(usage(), limits, delivery.bytes);
    open.set(delivery.id, delivery);
    bytes += delivery.bytes;
  }

  function retire(delivery: Delivery) {
    if (open.delete(delivery.id)) bytes -= delivery.bytes;
    const { content } = delivery;
    const { id, owner } = delivery;
    settled.set(id, { ...delivery, content: null }, { owner, bytes: recordBytes(delivery) });
    if (content) contents.set(id, content, { owner, bytes: contentBytes(content) });
  }

  return {
    async insert(delivery) {
      const known = find(delivery.id);
      if (known) return known;
      admit(delivery);
      timeline.add(delivery);
      return delivery;
    },
    async get(id) {
      return find(id);
    },
    async tombstone(id) {
      return tombstones.get(id) ?? null;
    },
    async update(from, to) {
      if (find(to.id)?.revision !== from.revision) return false;
      if (isSettled(to.status)) {
        retire(to);
      } else if (open.has(to.id)) {
        open.set(to.id, to);
      } else {
        admit(to);
        settled.delete(to.id);
        contents.delete(to.id);
      }
      return true;
    },
    async list(query) {
      const found: Delivery[] = [];
      for (const { id, createdAt } of timeline.backwards(query.after)) {
        if (found.length >= query.limit || createdAt < (query.createdAfter ?? 0)) break;
        const delivery = find(id);
        if (delivery && matchesQuery(delivery, query)) found.push({ ...delivery, content: null });
      }
      return found;
    },
    async *unsettled() {
      yield* [...open.values()];
    },
    refusal() {
      return isQueueFull(usage(), limits) ? 'queue_full' : null;
    },
    freeBytes() {
      return limits.maxBytes - bytes;
    },
    onChangeElsewhere() {},
  };
}
