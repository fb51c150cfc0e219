import type { SmtpReply } from '../delivery/delivery.ts';

/**
 * Why mail is not sent to an address:
 *
 * - `refused`: Gmail refused the address permanently;
 * - `bounce`: according to a report, the address does not exist;
 * - `manual`: entered by a client of the API.
 */
export const SUPPRESSION_REASONS = ['refused', 'bounce', 'manual'] as const;
export type SuppressionReason = (typeof SUPPRESSION_REASONS)[number];

/** An address that mail is not sent to. */
export interface Suppression {
  readonly email: string;
  readonly reason: SuppressionReason;
  /** Accounts that do not send to it. Null: no account does. */
  readonly accounts: readonly string[] | null;
  /** The reply of Gmail, or that of the receiving server to it. */
  readonly smtp: SmtpReply | null;
  /** Id of the message that was refused or bounced. */
  readonly messageId: string | null;
  /** Free text of a manual suppression. */
  readonly note: string | null;
  readonly createdAt: number;
}

/**
 * Stores suppressions, one for each mailbox. Addresses are compared by `toMailboxKey`.
 *
 * In memory it is bounded: the oldest suppressions that were not entered manually are dropped first.
 */
export interface SuppressionStore {
  get(email: string): Promise<Suppression | null>;
  /**
   * Replaces `from` by `to`, for the same mailbox, if `from` is still stored (compare-and-set).
   * Null means no suppression. Returns false, and changes nothing, if another one is stored.
   *
   * @throws {AppError} `queue_full` when there is no capacity for another, `queue_unavailable`
   */
  replace(from: Suppression | null, to: Suppression): Promise<boolean>;
  /** Returns whether there was one. */
  remove(email: string): Promise<boolean>;
  /**
   * Lists suppressions by their mailbox keys in code unit order.
   *
   * @param query `after`: only mailbox keys after this one; null for all
   */
  list(query: { readonly limit: number; readonly after: string | null }): Promise<readonly Suppression[]>;
}
