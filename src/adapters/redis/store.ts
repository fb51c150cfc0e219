import { type Delivery, isSettled } from '../../core/delivery.ts';
import { AppError } from '../../core/errors.ts';
import type { Store } from '../../core/ports.ts';
import { decodeContent, encodeContent, parseRecord, toRecord } from '../../core/record.ts';
import { KEYS } from './keys.ts';
import type { Link } from './link.ts';
import { createListing } from './listing.ts';
import { toMember } from './places.ts';
import type { Argument } from './scripts.ts';
import { INSERT, UPDATE } from './store-scripts.ts';
import { unqueuedOf } from './unqueued.ts';

export interface RedisStoreOptions {
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
}

/** A Store that all instances share: each change is one step in Redis, so that its bounds hold whoever inserts. */
export function createRedisStore(link: Link, { maxMessages, maxBytes, retainMs }: RedisStoreOptions): Store {
  const { clock, redis, news } = link;
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
    if (outcome === 'full') throw full();
    return String(outcome);
  }

  function full(): AppError {
    const detail =
      messages >= maxMessages
        ? `It holds ${messages} messages; QUEUE_MAX_MESSAGES allows ${maxMessages}.`
        : `It holds ${bytes} bytes; QUEUE_MAX_BYTES allows ${maxBytes}.`;
    return new AppError('queue_full', { detail });
  }

  async function get(id: string): Promise<Delivery | null> {
    const [record, content] = await link.ask(() => redis.hmgetBuffer(KEYS.delivery(id), 'record', 'content'));
    return record ? parseRecord(record.toString(), content?.length ? decodeContent(content) : null) : null;
  }

  /** What becomes of it besides being replaced. */
  function effectOf(from: Delivery, to: Delivery): readonly Argument[] {
    if (isSettled(to.status)) return ['settled', Math.ceil(clock.now() + retainMs), retainMs, to.content === null ? 1 : 0];
    if (isSettled(from.status)) return ['reopened', maxMessages, maxBytes, JSON.stringify(unqueuedOf(to, clock.now()))];
    return ['open'];
  }

  link.onBeat((usage) => note(usage as readonly unknown[]));
  return {
    ...createListing(link),
    get,
    // Nothing is dropped before RETAIN.
    tombstone: async () => null,
    async insert(delivery) {
      const { id, revision, content } = delivery;
      const keys = [KEYS.delivery(id), KEYS.unsettled, KEYS.usage, KEYS.timeline, KEYS.unqueued];
      const encoded = content === null ? '' : Buffer.from(encodeContent(content));
      const values = [id, revision, delivery.bytes, toRecord(delivery), encoded, toMember(delivery)];
      const entry = JSON.stringify(unqueuedOf(delivery, clock.now()));
      const answer = await link.run(INSERT, ...keys, ...values, maxMessages, maxBytes, entry);
      return outcomeOf(answer) === 'known' ? ((await get(id)) ?? delivery) : delivery;
    },
    async update(from, to) {
      const { id } = to;
      const keys = [KEYS.delivery(id), KEYS.unsettled, KEYS.usage, KEYS.leaving, KEYS.unqueued];
      const topic = isSettled(to.status) || to.status === 'deferred' ? news.changed : '';
      const values = [id, from.revision, to.revision, toRecord(to), toMember(to), topic, `${link.instance} ${id}`];
      return outcomeOf(await link.run(UPDATE, ...keys, ...values, ...effectOf(from, to))) === 'kept';
    },
    refusal() {
      if (!link.isUsable()) return 'queue_unavailable';
      return messages < maxMessages && bytes < maxBytes ? null : 'queue_full';
    },
    freeBytes() {
      return maxBytes - bytes;
    },
    onChangeElsewhere(listener) {
      link.onNews('changed', listener);
    },
  };
}
