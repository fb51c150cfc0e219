/** All that Outtray keeps in Redis stands under this, BullMQ’s queues too. */
export const PREFIX = 'outtray';

const key = (...parts: readonly string[]) => [PREFIX, ...parts].join(':');

/** What is kept in Redis, and where. A colon divides the parts, so that no name of ours is ever that of a channel, which has none. */
export const KEYS = {
  /** Hash: revision, bytes, record, and the content if there is one. It expires once the delivery has been settled for RETAIN. */
  delivery: (id: string) => key('store:delivery', id),
  /** Set of the ids of those that are not settled. */
  unsettled: key('store:unsettled'),
  /** Hash: how many messages are not settled, and their bytes. */
  usage: key('store:usage'),
  /** Sorted set, in the order of their bytes: see places.ts. */
  timeline: key('store:timeline'),
  /** Sorted set of the places of settled ones, by when they leave. */
  expiring: key('store:leaving'),
  /** Hash: what is to be in the queue, and is not known to be yet, by id. */
  pendingPushes: key('queue:unqueued'),
  /** Hash: in which channel an id stands, taken or not. */
  channels: key('queue:channels'),
  /** Hash: a claim, its receipt once it is accepted, and the answer if one is stored. */
  claim: (name: string) => key('claim', name),
  /** Hash: the time that all instances go by, and the time of day of Redis when it was written down. */
  clock: key('clock'),
  /** Exists while the instance lives. */
  heartbeat: (instance: string) => key('alive', instance),
  /** Hash: suppressions by mailbox key. */
  suppressions: key('suppressions'),
  /** Sorted set of the mailbox keys. */
  mailboxes: key('suppressions:order'),
  /** Hash: notices by id. */
  notices: key('outbox:notices'),
  /** Hash: what each notice occupies, and its endpoint. */
  noticeSizes: key('outbox:sizes'),
  /** Hash: what they occupy together, and for each endpoint. */
  noticeUsage: key('outbox:usage'),
  /** Hash: revision and value. */
  sharedValue: (name: string) => key('book', name),
  /** What is spent in the window of a rate limit. It expires with the window. */
  rate: (kind: string, name: string) => key('rate', kind, name),
} as const;

/** What instances tell each other, by name. Unlike keys, these are the same in every database of a Redis. */
export interface PubSubChannels {
  /** An instance, and the id of a delivery that it has settled or deferred. */
  readonly changed: string;
  /** An instance, and a channel in which something may be due. */
  readonly due: string;
}

export function toPubSubChannels(db: number): PubSubChannels {
  return { changed: key(`${db}`, 'changed'), due: key(`${db}`, 'due') };
}
