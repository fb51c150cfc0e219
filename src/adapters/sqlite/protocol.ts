import type { MessagePort } from 'node:worker_threads';
import type { QueueUsage } from '../../core/delivery/queue-capacity.ts';
import type { ErrorCode } from '../../core/errors.ts';
import type { MailboxFilter } from './mailbox-filter.ts';
import type { Reads, Writes } from './worker/procedures.ts';

/**
 * The messages between the event loop and the database thread, which alone opens the file.
 *
 * - The loop posts one {@link Batch} per turn at most: all calls of that turn.
 * - The thread runs all batches that have arrived. It runs the reads first, and replies. Then it
 *   runs the writes of all of them in one transaction, syncs it, and replies. What arrives meanwhile
 *   is the next transaction, so a slow disk makes transactions larger, not more.
 * - Results come in the order of the calls, reads and writes each.
 * - No transaction is open during a read, so its result contains nothing that is not synced. The
 *   loop posts a read only after the writes it must see have ended.
 * - If a transaction fails, each of its writes fails, and none is stored.
 */
export interface Batch {
  readonly kind: 'batch';
  /** Epoch ms by the clock of the file. */
  readonly now: number;
  readonly reads: readonly Call<keyof Reads>[];
  readonly writes: readonly Call<keyof Writes>[];
}

/** The thread copies the database to a file, while it runs batches, and reports to `done`. */
export interface Copy {
  readonly kind: 'copy';
  readonly to: string;
  /** Receives null, or the reason why there is no copy. */
  readonly done: MessagePort;
}

/** The thread runs what it has received, finishes a copy, closes the file and ends. */
export interface Close {
  readonly kind: 'close';
}

/** A call of a procedure. A byte array at the top level of its arguments is moved, not copied. */
export type Call<Name extends string> = readonly [name: Name, args: readonly unknown[]];

export interface Reply {
  readonly reads: readonly Result[];
  readonly writes: readonly Result[];
  readonly state: DatabaseState;
}

/** What the loop knows about the database without a call. */
export interface DatabaseState {
  /** The unsettled deliveries. */
  readonly unsettled: QueueUsage;
  /** Number of settled deliveries that `tidySettled` would tidy. */
  readonly untidy: number;
  /** Shortest duration of a sync lately, in ms. */
  readonly syncMs: number;
  /** Why the last transaction or check failed; null if it succeeded. */
  readonly failure: DatabaseFailure | null;
}

/** @property problem the problem and its fix, fit for any client; null if there is none to tell */
export interface DatabaseFailure {
  readonly reason: string;
  readonly problem: string | null;
}

/** The result of a call, or the error that it threw, as plain data. */
export type Result =
  | { readonly value: unknown }
  | { readonly refusal: { readonly code: ErrorCode; readonly detail: string } }
  | { readonly unavailable: DatabaseFailure & { readonly errcode: number | null } }
  | { readonly bug: unknown };

/** Options of the thread. `port`: where it is called. */
export interface ThreadSetup {
  readonly file: string;
  readonly maxMessages: number;
  readonly maxBytes: number;
  readonly retainMs: number;
  /** How long content is kept that can only be read, in ms. Default: 0. */
  readonly retainContentMs?: number | undefined;
}

/** Both clocks at one moment, see clock.ts. */
export interface StoredClock {
  readonly file: number;
  readonly wall: number;
}

/** The first message of the thread. */
export type Opened =
  | {
      readonly kind: 'opened';
      readonly clock: StoredClock | null;
      readonly suppressed: MailboxFilter;
      readonly state: DatabaseState;
    }
  /** The message of a SqliteFileError. */
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'bug'; readonly error: unknown };
