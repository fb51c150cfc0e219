/** An event that an endpoint is still to be told of. */
export interface Notice {
  /** `evt_…`, the same for every attempt and every endpoint. */
  readonly eventId: string;
  /** Of this notice. */
  readonly id: string;
  readonly url: string;
  /** `message.sent`, … */
  readonly type: string;
  /** The id of the message, or the account. */
  readonly about: string;
  /** JSON. */
  readonly body: string;
  readonly createdAt: number;
  /** When its endpoint is called next, in epoch ms by the clock of the books. */
  readonly dueAt: number;
  readonly failures: number;
  /** How much of the day of retries is spent, counted in waits. */
  readonly retriedForMs: number;
}

/**
 * Keeps notices until they are delivered or given up. When they are due is the queue's business.
 *
 * - Bounded. One endpoint that is down never takes all the room: the more it holds, the more must be free for it to get another.
 */
export interface Outbox {
  /** Adds or replaces. Answers false, and keeps nothing, when there is no room for another. To replace there always is. */
  put(notice: Notice): Promise<boolean>;
  get(id: string): Promise<Notice | null>;
  remove(id: string): Promise<void>;
  /** All there are: for recovery at boot and the farewell at shutdown. */
  pending(): AsyncIterable<Notice>;
}
