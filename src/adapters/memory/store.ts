import { type Delivery, firstDueAt, hasBounced, isAmended, isSettled } from '../../core/delivery/delivery.ts';
import { type Counted, createDeliveryCounters } from '../../core/delivery/delivery-counters.ts';
import { matchesQuery } from '../../core/delivery/delivery-query.ts';
import { settlementOf } from '../../core/delivery/delivery-stats.ts';
import { followUpBytes } from '../../core/delivery/follow-up.ts';
import {
  checkQueueCapacity,
  isQueueFull,
  type QueueLimits,
  type QueueUsage,
} from '../../core/delivery/queue-capacity.ts';
import { mayMatch, signatureOf, signatureOfQuery } from '../../core/delivery/signature.ts';
import { type Content, contentBytes, recordBytes } from '../../core/message/message.ts';
import type { Tombstone } from '../../core/ports/delivery-store.ts';
import type { RecordStore } from '../../core/store-then-queue.ts';
import type { NoticeRecords } from '../../core/webhooks/notice-queue.ts';
import { createRetained, type RetainedOptions } from './retained.ts';
import { createTimeline, type Entry } from './timeline.ts';

export interface MemoryStoreOptions extends QueueLimits {
  readonly retained: RetainedOptions;
  /** RETAIN_CONTENT, in ms. */
  readonly retainContentMs: number;
  /**
   * Maximum number of deliveries that were dropped before RETAIN and whose status is still known.
   */
  readonly maxTombstones: number;
  readonly outbox: Pick<NoticeRecords, 'put'>;
}

/** An unsettled delivery, and its entry in the timeline. */
interface Unsettled {
  delivery: Delivery;
  readonly entry: Entry;
}

/**
 * Creates a RecordStore in memory. Deliveries are immutable, so it returns the stored objects.
 */
export function createMemoryStore({
  retained,
  retainContentMs,
  maxTombstones,
  outbox,
  ...limits
}: MemoryStoreOptions): RecordStore {
  const unsettled = new Map<string, Unsettled>();
  const tombstones = createRetained<Tombstone>({ ...retained, maxCount: maxTombstones, onEarlyDrop() {} });
  const settled = createRetained<Delivery>({
    ...retained,
    onEarlyDrop({ id, owner, status, finishedAt }) {
      tombstones.set(id, { id, status, finishedAt }, { owner, bytes: 0 });
      retained.onEarlyDrop(id);
    },
  });
  /**
   * Content of settled deliveries that can be retried. Bounded separately, so that dropping large
   * content does not drop records too.
   */
  const contents = createRetained<Content>(retained);
  /** Content of settled deliveries that cannot be retried. */
  const keptContents = createRetained<Content>({
    ...retained,
    forMs: retainContentMs,
    maxBytes: limits.maxBytes,
    onEarlyDrop() {},
  });
  const timeline = createTimeline((id) => unsettled.has(id) || settled.get(id) !== undefined);
  const counters = createDeliveryCounters();
  let bytes = 0;

  function find(id: string): Delivery | null {
    const waiting = unsettled.get(id);
    if (waiting) return waiting.delivery;
    const record = settled.get(id);
    if (!record) return null;
    const content = contents.get(id);
    return content ? { ...record, content } : record;
  }

  function usage(): QueueUsage {
    return { messages: unsettled.size, bytes };
  }

  /** Adds an unsettled delivery, within the limits. */
  function add(delivery: Delivery, toEntry: () => Entry) {
    checkQueueCapacity(usage(), limits, delivery.bytes);
    unsettled.set(delivery.id, { delivery, entry: toEntry() });
    bytes += delivery.bytes;
  }

  /** Moves a delivery to the settled ones. */
  function retain(delivery: Delivery, former: Content | null) {
    if (unsettled.delete(delivery.id)) bytes -= delivery.bytes;
    const { id, owner, content } = delivery;
    settled.set(id, withoutContent(delivery), { owner, bytes: bytesOf(delivery) });
    contents.delete(id);
    if (content) contents.set(id, content, { owner, bytes: contentBytes(content) });
    else if (former && retainContentMs > 0)
      keptContents.set(id, former, { owner, bytes: contentBytes(former) });
  }

  /** Counts a change, and what settles with it. */
  function count(from: Delivery | null, to: Delivery) {
    counters.change(from && toCounted(from), toCounted(to));
    const settlement = from?.status === to.status ? null : settlementOf(to);
    if (settlement) counters.settle(settlement);
  }

  function update(from: Delivery, to: Delivery): boolean {
    const stored = find(to.id);
    if (stored?.revision !== from.revision) return false;
    const waiting = unsettled.get(to.id);
    const entry = waiting?.entry ?? timeline.get(to);
    if (isAmended(stored, to)) {
      settled.replace(to.id, withoutContent(to), bytesOf(to));
    } else if (isSettled(to.status)) {
      retain(to, stored.content);
    } else if (waiting) {
      waiting.delivery = to;
    } else {
      add(to, () => entry);
      settled.delete(to.id);
      contents.delete(to.id);
    }
    Object.assign(entry, toState(to));
    count(stored, to);
    return true;
  }

  return {
    async insert(delivery) {
      const known = find(delivery.id);
      if (known) return known;
      add(delivery, () => timeline.add(delivery, toState(delivery), signatureOf(delivery)));
      count(null, delivery);
      return delivery;
    },
    async get(id) {
      return find(id);
    },
    async content(id) {
      const delivery = find(id);
      return delivery && (delivery.content ?? keptContents.get(id) ?? null);
    },
    async tombstone(id) {
      return tombstones.get(id) ?? null;
    },
    async update(from, to) {
      return update(from, to);
    },
    async updateWithNotices(from, to, notices) {
      if (!update(from, to)) return null;
      const isStored = await Promise.all(notices.map(outbox.put));
      return notices.filter((_, i) => isStored[i]);
    },
    async list(query) {
      const found: Delivery[] = [];
      const isOldestFirst = query.waitingAt !== null;
      const positions = isOldestFirst ? timeline.oldestFirst(query.after) : timeline.newestFirst(query.after);
      const wanted = signatureOfQuery(query);
      for (const position of positions) {
        const { id, createdAt, status, bounced } = position;
        if (found.length >= query.limit) break;
        if (!isOldestFirst && createdAt < (query.createdAfter ?? 0)) break;
        if (query.statuses?.includes(status) === false) continue;
        if (query.bounced !== null && bounced !== query.bounced) continue;
        if (isOldestFirst && isSettled(status)) continue;
        if (wanted && !mayMatch(position, wanted)) continue;
        const delivery = unsettled.get(id)?.delivery ?? settled.get(id);
        if (delivery && matchesQuery(delivery, query)) found.push(withoutContent(delivery));
      }
      return found;
    },
    stats: async (owner, now) => counters.read(owner, now),
    async *unsettled() {
      for (const { delivery } of [...unsettled.values()]) yield delivery;
    },
    refusalCode() {
      return isQueueFull(usage(), limits) ? 'queue_full' : null;
    },
    freeBytes() {
      return limits.maxBytes - bytes;
    },
    onRemoteChange() {},
  };
}

function withoutContent(delivery: Delivery): Delivery {
  return delivery.content === null ? delivery : { ...delivery, content: null };
}

/** Estimates the memory of a delivery without its content, in bytes. */
function bytesOf(delivery: Delivery): number {
  return recordBytes(delivery) + followUpBytes(delivery);
}

function toState(delivery: Delivery) {
  return { status: delivery.status, bounced: hasBounced(delivery) };
}

function toCounted(delivery: Delivery): Counted {
  return { owner: delivery.owner, status: delivery.status, dueAt: firstDueAt(delivery) };
}
