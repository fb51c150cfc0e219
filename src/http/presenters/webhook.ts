import { type Caller, isAdmin } from '../../core/auth/caller.ts';
import { type Notice, statusOf } from '../../core/ports/outbox.ts';
import { toIso, toIsoOrNull } from '../../core/time.ts';
import type { EndpointTest } from '../../core/webhooks/endpoint-tests.ts';
import type { EndpointTestResource, WebhookDeliveryResource } from '../schemas/webhook-delivery.ts';

export function toEndpointTestResource(test: EndpointTest, caller: Caller): EndpointTestResource {
  return {
    endpoint: presentEndpoint(test.endpoint, caller),
    event_id: test.eventId,
    delivered: test.delivered,
    reason: test.reason,
    duration_ms: test.durationMs,
  };
}

/** @param sharedNow epoch ms by the clock of `Notice.dueAt` */
export function toWebhookDeliveryResource(
  notice: Notice,
  caller: Caller,
  sharedNow: number,
): WebhookDeliveryResource {
  const isOfMessage = notice.type.startsWith('message.');
  const status = statusOf(notice);
  return {
    id: notice.id,
    event_id: notice.eventId,
    type: notice.type,
    message: isOfMessage ? notice.about : null,
    account: isOfMessage ? JSON.parse(notice.body).data.account : notice.about,
    endpoint: presentEndpoint(notice.url, caller),
    status,
    calls: notice.failures,
    reason: notice.reason ?? null,
    created_at: toIso(notice.createdAt),
    next_call_at:
      status === 'waiting' ? toIso(Math.round(Date.now() + Math.max(0, notice.dueAt - sharedNow))) : null,
    finished_at: toIsoOrNull(notice.finishedAt ?? null),
  };
}

/** Leaves out the query, which may hold a secret, except for admins. */
export function presentEndpoint(text: string, caller: Caller): string {
  if (isAdmin(caller)) return text;
  const url = new URL(text);
  url.search = '';
  return url.href;
}
