import type { QueueStatus } from '../../core/delivery/delivery-stats.ts';

/** Prefix of every key that Outtray writes to Redis, including those of BullMQ's queues. */
export const PREFIX = 'outtray';

const key = (...parts: readonly string[]) => [PREFIX, ...parts].join(':');

/**
 * The keys in Redis and what they hold.
 *
 * Each name has a colon. A channel name is URL-encoded and has none, so the two never collide.
 */
export const KEYS = {
  /**
   * Hash: revision, bytes, record, the content if there is one, the revision that was counted as
   * settled, and the place of its search row. It expires when the delivery has been settled for
   * RETAIN.
   */
  delivery: (id: string) => key('store:delivery', id),
  /** Content of a settled delivery that cannot be retried. It expires after RETAIN_CONTENT. */
  keptContent: (id: string) => key('store:content', id),
  /** Sorted set: bytes and id of each kept content, by the time it expires. */
  keptContents: key('store:contents'),
  /** Set: ids of unsettled deliveries. */
  unsettled: key('store:unsettled'),
  /**
   * Hash: number of unsettled deliveries, and their bytes; `kept`: bytes of kept contents; `places`:
   * number of places of search rows.
   */
  usage: key('store:usage'),
  /** Sorted set: deliveries of a status in the queue, by owner and time. See waiting-set.ts. */
  waiting: (status: QueueStatus) => key('stats:waiting', status),
  /** Sorted set: the same for deliveries that are scheduled for a time after their creation. */
  planned: (status: QueueStatus) => key('stats:planned', status),
  /** Hash: how many deliveries of each owner settled in the hour that starts then (epoch ms). */
  settledHour: (hour: number | '') => key('stats:settled', String(hour)),
  /** Exists once deliveries of versions without these numbers are counted. */
  areCounted: key('stats:complete'),
  /** Sorted set: members of all deliveries in byte order, see timeline-member.ts. */
  timeline: key('store:timeline'),
  /** String: the search rows of all deliveries, see search-rows.ts. */
  searchRows: key('store:rows'),
  /** Hash: the place of each delivery among the search rows. */
  places: key('store:places'),
  /** List: places that no delivery has. */
  freePlaces: key('store:places:free'),
  /** Hash: what versions without search rows searched. */
  formerSignatures: key('store:signatures'),
  /** Sorted set: timeline members of settled deliveries, by the time they expire. */
  expiring: key('store:leaving'),
  /** Hash: pending pushes by id, see pending-push.ts. */
  pendingPushes: key('queue:unqueued'),
  /** Hash: the channel of each id, taken or not. */
  channels: key('queue:channels'),
  /**
   * Hash: an idempotency claim, its receipt once it is accepted, and the response if one is stored.
   */
  claim: (name: string) => key('claim', name),
  /** Hash: the time that all instances share, and Redis's time of day when it was written. */
  clock: key('clock'),
  /** Exists while the instance sends heartbeats. */
  heartbeat: (instance: string) => key('alive', instance),
  /** Hash: suppressions by mailbox key. */
  suppressions: key('suppressions'),
  /** Sorted set: the mailbox keys of all suppressions. */
  mailboxes: key('suppressions:order'),
  /** String: what the index of sent messages has of one, in JSON. It expires after a week. */
  sent: (id: string) => key('sent', id),
  /** Hash: waiting notices by id. */
  notices: key('outbox:notices'),
  /** Hash: bytes and endpoint of each waiting notice. */
  noticeSizes: key('outbox:sizes'),
  /** Hash: number and bytes of all waiting notices, of each endpoint's, and of the failed ones. */
  noticeUsage: key('outbox:usage'),
  /** Sorted set: ids of waiting and failed notices, by the time they were created. */
  noticeOrder: key('outbox:order'),
  /** Hash: failed notices by id. */
  failedNotices: key('outbox:failed'),
  /** Sorted set: ids of failed notices, by the time they expire. */
  failedNoticeExpiry: key('outbox:leaving'),
  /** Hash: a shared value and the usage counted beside it. See shared-state-scripts.ts. */
  sharedValue: (name: string) => key('shared', name),
  /** Hash: revision and value, as version 0.1 stored them. */
  formerSharedValue: (name: string) => key('book', name),
  /** Amount spent in the current window of a rate limit. It expires with the window. */
  rate: (kind: string, name: string) => key('rate', kind, name),
} as const;

/**
 * Names of the pub/sub channels by topic. Redis shares these between its databases, unlike keys, so
 * each name contains the database number.
 */
export interface PubSubChannels {
  /** An instance settled or deferred a delivery. */
  readonly changed: string;
  /** An id may be due in a channel of the queue. */
  readonly due: string;
}

export function toPubSubChannels(db: number): PubSubChannels {
  return { changed: key(`${db}`, 'changed'), due: key(`${db}`, 'due') };
}
