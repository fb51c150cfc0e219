import { type Delivery, isAmended, isSettled } from '../../../core/delivery/delivery.ts';
import { decodeContent, encodeContent, encodeRecord } from '../../../core/delivery/delivery-codec.ts';
import { settlementOf } from '../../../core/delivery/delivery-stats.ts';
import { isQueueFull, type QueueLimits, queueFull } from '../../../core/delivery/queue-capacity.ts';
import type { DeliveryChange, DeliveryStore } from '../../../core/ports/delivery-store.ts';
import type { Connection } from '../connection/connection.ts';
import type { Argument } from '../connection/scripts.ts';
import { KEYS } from '../keys.ts';
import { toPendingPush } from '../pending-push.ts';
import type { DeliverySteps, OutboxSteps, QueueSteps, Step } from '../steps.ts';
import { decodeStored } from '../stored-delivery.ts';
import { createListing } from './listing.ts';
import { encodeHead, encodeRow } from './search-rows.ts';
import { createStats } from './stats.ts';
import { INSERT, UPDATE } from './store-scripts.ts';
import { toTimelineMember } from './timeline-member.ts';
import { toWaitingMember, type WaitingMember } from './waiting-set.ts';

export interface RedisStoreOptions extends QueueLimits {
  readonly retainMs: number;
  readonly retainContentMs: number;
}

/**
 * Creates the DeliveryStore that all instances share. Each change is one script, with what it does
 * to the queue, so the limits hold however many instances insert.
 */
export function createRedisStore(
  connection: Connection,
  queue: QueueSteps,
  outbox: OutboxSteps,
  { retainMs, retainContentMs, ...limits }: RedisStoreOptions,
): DeliveryStore & DeliverySteps {
  const { maxMessages, maxBytes } = limits;
  const { clock, redis, pubSub } = connection;
  let messages = 0;
  let bytes = 0;

  function setUsage([usedMessages, usedBytes]: readonly unknown[]) {
    messages = Number(usedMessages ?? 0);
    bytes = Number(usedBytes ?? 0);
  }

  /** Stores the usage that a script reports, if it does, and returns its outcome. */
  function toOutcome(result: unknown): string {
    const [outcome, ...usage] = result as readonly unknown[];
    if (usage.length > 0) setUsage(usage);
    if (outcome === 'full') throw queueFull({ messages, bytes }, limits);
    return String(outcome);
  }

  async function get(id: string): Promise<Delivery | null> {
    const [record, content] = await connection.execute(() =>
      redis.hmgetBuffer(KEYS.delivery(id), 'record', 'content'),
    );
    return decodeStored(record, content);
  }

  /** Returns the transition of an update and its arguments, as {@link UPDATE} expects them. */
  function transitionOf(from: Delivery, to: Delivery): readonly Argument[] {
    if (isAmended(from, to)) return ['amended'];
    if (isSettled(to.status))
      return ['settled', Math.ceil(clock.now() + retainMs), retainMs, ...contentArguments(to)];
    if (isSettled(from.status)) return ['reopened', maxMessages, maxBytes];
    return ['open'];
  }

  /** What happens to the content of a settled delivery. */
  function contentArguments({ id, content }: Delivery): readonly Argument[] {
    if (content !== null) return [0];
    if (retainContentMs === 0) return [1];
    const expiresAt = Math.ceil(clock.now() + retainContentMs);
    return ['keep', KEYS.keptContent(id), KEYS.keptContents, maxBytes, expiresAt, retainContentMs];
  }

  function stepOf({ from, to, effect, notices }: DeliveryChange): Step<boolean> {
    const { id } = to;
    const { keys: countKeys, values: counts } = countsOf(from, to);
    const stored = [KEYS.delivery(id), KEYS.unsettled, KEYS.usage, KEYS.expiring, KEYS.pendingPushes];
    const keys = [...stored, ...countKeys, KEYS.searchRows];
    const isNews = isSettled(to.status) || to.status === 'deferred';
    const values = [id, from.revision, to.revision, encodeRecord(to), toTimelineMember(to)];
    const [formerHead, head] = [encodeHead(from), encodeHead(to)];
    const message = [isNews ? pubSub.channels.changed : '', pubSub.encode(id)];
    const update = {
      script: UPDATE,
      args: [
        ...keys,
        ...values,
        ...message,
        ...counts,
        head === formerHead ? '' : head,
        ...transitionOf(from, to),
      ],
    };
    const isReopened = isSettled(from.status) && !isSettled(to.status);
    const queueEffect = effect ?? (isReopened ? ({ kind: 'push', afterMs: 0 } as const) : null);
    const queueStep = queueEffect && queue.stepFor(from, to, queueEffect);
    const noticeStep = outbox.stepForNew(notices);
    return {
      calls: [update, ...noticeStep.calls, ...(queueStep?.calls ?? [])],
      complete([result, ...results]) {
        if (toOutcome(result) !== 'done') return false;
        noticeStep.complete(results.splice(0, noticeStep.calls.length));
        queueStep?.complete(results);
        return true;
      },
    };
  }

  connection.onHeartbeat((usage) => setUsage(usage as readonly unknown[]));
  return {
    ...createListing(connection),
    ...createStats(connection),
    get,
    getTaken: async (id) => queue.readTaken(id) ?? get(id),
    async content(id) {
      const [stored, kept] = await connection.execute(() =>
        Promise.all([redis.hgetBuffer(KEYS.delivery(id), 'content'), redis.getBuffer(KEYS.keptContent(id))]),
      );
      const content = stored?.length ? stored : kept;
      return content && decodeContent(content);
    },
    // Nothing is dropped before RETAIN.
    tombstone: async () => null,
    async insert(delivery) {
      const { id, revision, content } = delivery;
      const waiting = toWaitingMember(delivery) ?? NOT_WAITING;
      const keys = [
        KEYS.delivery(id),
        KEYS.unsettled,
        KEYS.usage,
        KEYS.timeline,
        waiting.key,
        KEYS.searchRows,
        KEYS.places,
        KEYS.freePlaces,
      ];
      const encodedContent = content === null ? '' : Buffer.from(encodeContent(content));
      const values = [id, revision, delivery.bytes, encodeRecord(delivery), encodedContent];
      const member = toTimelineMember(delivery);
      const args = [...keys, ...values, member, maxMessages, maxBytes, waiting.member, encodeRow(delivery)];
      const push = queue.stepForNew(id, toPendingPush(delivery, clock.now()));
      const [[result, ...pushed] = []] = await connection.runAtomically([
        { script: INSERT, args },
        ...push.calls,
      ]);
      if (toOutcome(result) === 'known') return (await get(id)) ?? delivery;
      push.complete(pushed);
      return delivery;
    },
    stepOf,
    async update(from, to, effect = null, notices = []) {
      const { calls, complete } = stepOf({ from, to, effect, notices });
      const [results = []] = await connection.runAtomically(calls);
      return complete(results);
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

/** Place of a settled delivery: no member is added or removed. */
const NOT_WAITING: WaitingMember = { key: KEYS.waiting('queued'), member: '' };

/** Returns the keys and the arguments by which {@link UPDATE} counts a change. */
function countsOf(from: Delivery, to: Delivery): { readonly keys: string[]; readonly values: string[] } {
  const [before, after] = [toWaitingMember(from) ?? NOT_WAITING, toWaitingMember(to) ?? NOT_WAITING];
  const isSamePlace = before.key === after.key && before.member === after.member;
  const settlement = from.status === to.status ? null : settlementOf(to);
  return {
    keys: [before.key, after.key, KEYS.settledHour(settlement?.hour ?? '')],
    values: [
      ...(isSamePlace ? ['', ''] : [before.member, after.member]),
      settlement ? `${settlement.result}:${settlement.owner}` : '',
    ],
  };
}
