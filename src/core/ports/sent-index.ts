/** How long a message is in the index, in ms. Servers report failures for up to five days. */
export const SENT_INDEX_MS = 7 * 24 * 3_600_000;

/** What a bounce needs to know of a message that is no longer stored. */
export interface SentMail {
  /** `msg_…` */
  readonly id: string;
  /** Name of the API key that sent it. */
  readonly owner: string;
  readonly account: string;
  /**
   * Recipients for which a server has accepted it, or may have, and that have not bounced. A bounce
   * after RETAIN that is unverified and suppresses no address does not count.
   */
  readonly recipients: readonly string[];
}

/**
 * Remembers messages that were sent for {@link SENT_INDEX_MS}, also after RETAIN. In memory it is
 * bounded: the oldest are dropped first.
 */
export interface SentIndex {
  /**
   * Adds messages, or replaces them. A process that is killed may lose what it has just added.
   *
   * @throws {AppError} `queue_unavailable`
   */
  add(mails: readonly SentMail[]): Promise<void>;
  /** @throws {AppError} `queue_unavailable` */
  find(id: string): Promise<SentMail | null>;
}
