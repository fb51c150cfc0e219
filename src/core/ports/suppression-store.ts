import type { SmtpReply } from '../delivery/delivery.ts';

/** An address that mail is not sent to. */
export interface Suppression {
  readonly email: string;
  /** `refused`: Gmail refused it for good. `manual`: somebody entered it. */
  readonly reason: 'refused' | 'manual';
  /** The accounts that do not send to it; null: none does. */
  readonly accounts: readonly string[] | null;
  /** What Gmail said. */
  readonly smtp: SmtpReply | null;
  /** The id of the message that Gmail refused. */
  readonly messageId: string | null;
  /** What the person who entered it wrote. */
  readonly note: string | null;
  readonly createdAt: number;
}

/**
 * Keeps suppressions, one for each mailbox: addresses are compared by {@link toMailboxKey}.
 *
 * - In memory it is bounded: past that, the oldest that Gmail refused go first.
 */
export interface SuppressionStore {
  get(email: string): Promise<Suppression | null>;
  /**
   * Puts `to` in the place of `from` (null: of none), for the same mailbox, unless something else is kept by now: then nothing changes, and it
   * answers false.
   *
   * @throws {AppError} `queue_full` when there is no room for another, `queue_unavailable`
   */
  replace(from: Suppression | null, to: Suppression): Promise<boolean>;
  /** Answers whether there was one. */
  remove(email: string): Promise<boolean>;
  /** By address, in code unit order of their mailbox keys; only those after that one, if there is one. */
  list(query: { readonly limit: number; readonly after: string | null }): Promise<readonly Suppression[]>;
}
