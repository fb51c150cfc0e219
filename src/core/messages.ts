import { type Caller, isAdmin } from './auth/caller.ts';
import {
  advance,
  amend,
  type Delivery,
  type DeliveryError,
  type DeliveryPatch,
  isRetryable,
  mayBecome,
  pendingOf,
} from './delivery/delivery.ts';
import type { DeliveryQuery } from './delivery/delivery-query.ts';
import { isLookedUp } from './delivery/lookup.ts';
import type { DeliveryChanges } from './delivery-changes.ts';
import { errorOf } from './dispatch/lookup-rules.ts';
import { AppError, type ErrorCode } from './errors.ts';
import type { Content } from './message/message.ts';
import { checkSchedule } from './message/schedule.ts';
import type { DeliveryStore, QueueEffect } from './ports/delivery-store.ts';

/**
 * Reads and changes accepted messages on behalf of a caller: those of its API key, or all messages
 * for an admin.
 *
 * A change and the start of an attempt exclude each other: one succeeds, the other sees the new
 * state. Every method throws AppError `message_not_found` for an unknown id, or one of another key.
 */
export interface Messages {
  get(id: string, caller: Caller): Promise<Delivery>;
  /**
   * Lists messages.
   *
   * @throws {AppError} `insufficient_scope` for the messages of another key, unless for an admin
   */
  list(query: MessageQuery, caller: Caller): Promise<readonly Delivery[]>;
  /**
   * Returns a message with its content.
   *
   * @throws {AppError} `content_not_kept`
   */
  content(id: string, caller: Caller): Promise<MessageContent>;
  /** @throws {AppError} `not_cancelable` */
  cancel(id: string, caller: Caller): Promise<Delivery>;
  /**
   * Queues a settled message again for every recipient that did not get it, with the same
   * Message-ID and RETRY_FOR starting over. Recipients that have bounced do not get it.
   *
   * @throws {AppError} `not_retryable`, `queue_full`, `shutting_down`
   */
  retry(id: string, caller: Caller): Promise<Delivery>;
  /**
   * Changes the time of a scheduled message (epoch ms). A time in the past means now.
   *
   * @throws {AppError} `not_reschedulable`, `validation_failed`
   */
  reschedule(id: string, scheduledAt: number, caller: Caller): Promise<Delivery>;
}

export interface MessageContent {
  readonly delivery: Delivery;
  readonly content: Content;
}

export interface MessageQuery extends Omit<DeliveryQuery, 'owner' | 'waitingAt'> {
  /** Name of the API key that sent the messages. Null: all that the caller can read. */
  readonly key: string | null;
  /** `newest`: newest first. `oldest`: only messages that wait, oldest first. */
  readonly order: 'newest' | 'oldest';
}

/** Matches every message that the caller can read, newest first. */
export const ALL_MESSAGES: Omit<MessageQuery, 'limit' | 'after'> = {
  key: null,
  order: 'newest',
  statuses: null,
  bounced: null,
  tag: null,
  recipient: null,
  createdAfter: null,
  createdBefore: null,
};

export interface MessagesDeps {
  readonly store: Pick<DeliveryStore, 'get' | 'content' | 'list' | 'update'>;
  readonly changes: DeliveryChanges;
  readonly isDraining: () => boolean;
}

export function createMessages({ store, changes, isDraining }: MessagesDeps): Messages {
  async function get(id: string, caller: Caller): Promise<Delivery> {
    const delivery = await store.get(id);
    if (delivery === null || (delivery.owner !== caller.name && !isAdmin(caller)))
      throw new AppError('message_not_found');
    return delivery;
  }

  /**
   * Applies `next` to the stored delivery. Repeats it if the delivery changed since it was read.
   */
  async function change(
    id: string,
    caller: Caller,
    effect: QueueEffect,
    next: (delivery: Delivery) => Delivery,
  ): Promise<Delivery> {
    for (;;) {
      const delivery = await get(id, caller);
      const planned = changes.plan(delivery, next(delivery), effect);
      if (!(await store.update(delivery, planned.to, effect, planned.notices))) continue;
      changes.announce(planned);
      return planned.to;
    }
  }

  return {
    get,
    async list({ key, order, ...query }, caller) {
      if (key !== null && key !== caller.name && !isAdmin(caller)) throw foreignKey(key);
      const owner = isAdmin(caller) ? key : caller.name;
      return store.list({ ...query, owner, waitingAt: order === 'oldest' ? Date.now() : null });
    },
    async content(id, caller) {
      const delivery = await get(id, caller);
      const content = delivery.content ?? (await store.content(id));
      if (content === null) throw new AppError('content_not_kept');
      return { delivery, content };
    },
    async cancel(id, caller) {
      return change(id, caller, { kind: 'done' }, (delivery) => {
        if (!mayBecome(delivery.status, 'canceled')) throw refusal('not_cancelable', delivery);
        return advance(delivery, 'canceled', { finishedAt: Date.now(), error: errorOfCanceled(delivery) });
      });
    },
    async retry(id, caller) {
      if (isDraining()) throw new AppError('shutting_down');
      return change(id, caller, { kind: 'push', afterMs: 0 }, (delivery) => {
        const { status, content } = delivery;
        if (!isRetryable(status) || content === null) throw refusal('not_retryable', delivery);
        const reset = resetForRetry(delivery);
        if (pendingOf(reset).length === 0) throw noRecipientLeft();
        return advance(delivery, 'queued', reset);
      });
    },
    async reschedule(id, scheduledAt, caller) {
      checkSchedule({ scheduledAt, expiresAt: null });
      const effect = { kind: 'reschedule', afterMs: Math.max(0, scheduledAt - Date.now()) } as const;
      return change(id, caller, effect, (delivery) => {
        if (delivery.status !== 'scheduled') throw refusal('not_reschedulable', delivery);
        if (delivery.expiresAt !== null && delivery.expiresAt <= scheduledAt) throw tooLate();
        return amend(delivery, { scheduledAt });
      });
    },
  };
}

/** Returns the last error, without the announcement of a search that is not made any more. */
function errorOfCanceled(delivery: Delivery): DeliveryError | null {
  const { lookup, error } = delivery;
  return lookup !== null && isLookedUp(delivery) ? errorOf(lookup) : error;
}

/** Returns the changes that make a settled delivery like a new one for its remaining recipients. */
function resetForRetry({
  status,
  recipients,
  expiresAt,
  possibleDuplicate,
  lookup,
}: Delivery): DeliveryPatch & Pick<Delivery, 'recipients'> {
  return {
    error: null,
    finishedAt: null,
    retriedForMs: 0,
    expiresAt: expiresAt !== null && expiresAt <= Date.now() ? null : expiresAt,
    possibleDuplicate: possibleDuplicate || status === 'uncertain',
    // A search that a client has asked for precedes the next attempt anyway.
    lookup: lookup && { ...lookup, state: 'idle' },
    recipients:
      status === 'failed'
        ? recipients.map((recipient) =>
            recipient.status === 'rejected' ? { ...recipient, status: 'pending' } : recipient,
          )
        : recipients,
  };
}

function refusal(code: ErrorCode, { status, content }: Delivery): AppError {
  const isContentGone = code === 'not_retryable' && isRetryable(status) && content === null;
  const detail = isContentGone
    ? 'The content of the message has been dropped: send a new message.'
    : `The message is ${status.replace('_', ' ')}.`;
  return new AppError(code, { detail });
}

function noRecipientLeft(): AppError {
  return new AppError('not_retryable', { detail: 'Every recipient that is left has bounced.' });
}

function foreignKey(name: string): AppError {
  return new AppError('insufficient_scope', {
    detail: `Only a key with the scope admin can list the messages of another key, such as ${name}.`,
  });
}

function tooLate(): AppError {
  const detail = 'Must be earlier than expires_at of the message.';
  return new AppError('validation_failed', {
    detail,
    errors: [{ pointer: '/scheduled_at', code: 'out_of_range', detail }],
  });
}
