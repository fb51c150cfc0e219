/** An event that has not been delivered to a webhook endpoint yet. */
export interface Notice {
  /** `evt_…`, the same for every attempt and every endpoint. */
  readonly eventId: string;
  /** Id of this notice. */
  readonly id: string;
  /** The endpoint. */
  readonly url: string;
  /**
   * Name of the API key whose `webhook_url` the endpoint is, and whose secrets sign the calls.
   * Missing for WEBHOOK_URL, and in notices of version 0.2, which WEBHOOK_SECRET signs.
   */
  readonly key?: string;
  /** `message.sent`, … */
  readonly type: string;
  /** Id of the message, or the account. */
  readonly about: string;
  /** JSON. */
  readonly body: string;
  readonly createdAt: number;
  /** When its endpoint is called next, in epoch ms by `SharedState.now`. */
  readonly dueAt: number;
  readonly failures: number;
  /** How much of the day of retries has been used, as the sum of the waits. */
  readonly retriedForMs: number;
}

/**
 * Stores notices until they are delivered or given up. The queue decides when they are due. Notices
 * of messages are added with the change of the delivery: see `DeliveryStore.update`.
 *
 * Bounded: the more an endpoint holds, the more must be free for it to get another. So one endpoint
 * that is down never uses the whole capacity.
 */
export interface Outbox {
  /**
   * Adds a notice and enqueues its id, or replaces the notice. Returns false, and stores nothing,
   * when there is no capacity for another. Replacing always succeeds.
   */
  put(notice: Notice): Promise<boolean>;
  get(id: string): Promise<Notice | null>;
  remove(id: string): Promise<void>;
  /** Iterates over all notices. */
  pending(): AsyncIterable<Notice>;
}
