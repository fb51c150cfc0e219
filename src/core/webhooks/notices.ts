import type { AccountStatus } from '../accounts/account-status.ts';
import type { Delivery } from '../delivery/delivery.ts';
import type { FollowUp } from '../delivery/follow-up.ts';
import { type TraceContext, traceIdOf } from '../delivery/trace-context.ts';
import type { AccountEvent } from '../events.ts';
import { createId } from '../id.ts';
import type { EventPresenter } from '../ports/event-presenter.ts';
import type { Notice } from '../ports/outbox.ts';

/** Where events are sent. `key`: the API key whose `webhook_url` it is; missing for WEBHOOK_URL. */
export type Endpoint = Pick<Notice, 'url' | 'key'>;

export interface NoticesOptions {
  /** Returns the endpoints for the events of the messages of an API key, each URL once. */
  readonly endpointsFor: (owner: string) => readonly Endpoint[];
  /** Returns the endpoints for the events of accounts. */
  readonly accountEndpoints: () => readonly Endpoint[];
  /** Whether an endpoint wants no more events. */
  readonly isGone: (url: string) => boolean;
  readonly presenter: EventPresenter;
  /** Returns epoch ms by the clock of the shared state. */
  readonly now: () => number;
}

/** Creates the notices of events: one for each endpoint, with the same event id. */
export interface Notices {
  /**
   * Returns those of a message that has just settled or been deferred.
   *
   * @param followUp the mail that has followed it: then they report that
   */
  ofMessage(delivery: Delivery, followUp?: FollowUp): readonly Notice[];
  /** Returns those of an account that has just been paused or resumed. */
  ofAccount(type: AccountEvent, status: AccountStatus): readonly Notice[];
}

interface WebhookEvent {
  readonly type: string;
  /** The id of the message, or the account. */
  readonly about: string;
  /** Increases with each event of a message. */
  readonly sequence?: number;
  /** The trace of the message. */
  readonly trace?: TraceContext | null;
  /** The mail that followed the message. */
  readonly followUp?: unknown;
  readonly data: unknown;
}

const NONE: readonly Notice[] = [];

/**
 * The body of a notice is
 *
 *     {"type": "message.sent", "timestamp": "2026-11-22T09:00:00.000Z", "sequence": 4, "data": {…}}
 *
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#payload-structure
 */
export function createNotices(options: NoticesOptions): Notices {
  const { endpointsFor, accountEndpoints, isGone, presenter, now } = options;

  /** @param describe Called only if there is an endpoint to notify. */
  function toNotices(all: readonly Endpoint[], describe: () => WebhookEvent): readonly Notice[] {
    const endpoints = all.filter(({ url }) => !isGone(url));
    if (endpoints.length === 0) return NONE;
    const { type, about, sequence, trace, followUp, data } = describe();
    const createdAt = Date.now();
    const timestamp = new Date(createdAt).toISOString();
    const event = { type, timestamp, sequence, trace_id: traceIdOf(trace), follow_up: followUp, data };
    const body = JSON.stringify(event);
    const eventId = createId('evt');
    const subject = { eventId, type, about, trace: trace ?? undefined, body };
    const rest = { ...subject, createdAt, dueAt: now(), failures: 0, retriedForMs: 0 };
    return endpoints.map((endpoint) => ({ id: createId('ntc'), ...endpoint, ...rest }));
  }

  return {
    ofMessage(delivery, followUp) {
      const { id, owner, status, revision, trace } = delivery;
      return toNotices(endpointsFor(owner), () => ({
        type: `message.${followUp?.kind ?? status}`,
        about: id,
        sequence: revision,
        trace,
        followUp: followUp && presenter.followUp(followUp),
        data: presenter.message(delivery),
      }));
    },
    ofAccount(type, status) {
      return toNotices(accountEndpoints(), () => ({
        type,
        about: status.user,
        data: presenter.account(status),
      }));
    },
  };
}
