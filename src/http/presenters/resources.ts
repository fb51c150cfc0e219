import type { AccountStatus } from '../../core/accounts/account-status.ts';
import { type Caller, isAdmin } from '../../core/auth/caller.ts';
import { type Attempt, type Delivery, type DeliveryError, namedOf } from '../../core/delivery/delivery.ts';
import { ERRORS } from '../../core/errors.ts';
import type { Preview } from '../../core/intake/intake.ts';
import type { Backend } from '../../core/ports/backend.ts';
import type { Tombstone } from '../../core/ports/delivery-store.ts';
import type { LimitStatus } from '../../core/quota.ts';
import type { AccountResource } from '../schemas/account.ts';
import type { DroppedMessage, MessageResource, PreviewResource } from '../schemas/message.ts';

/**
 * What callers see of a delivery: snake_case, times in ISO 8601. The fields are put together in the order the docs give them.
 *
 * @param caller who sees it; null: an endpoint
 */
export function toResource(
  delivery: Delivery,
  durability: Backend['durability'],
  caller: Caller | null,
): MessageResource {
  const { from, to, cc, bcc, subject } = delivery.envelope;
  return {
    id: delivery.id,
    status: delivery.status,
    message_id: delivery.messageId,
    from,
    to,
    cc,
    bcc,
    reply_to: delivery.replyTo,
    subject,
    template: delivery.template,
    attachments: delivery.attachments.map(({ filename, size, contentType }) => ({
      filename,
      size,
      content_type: contentType,
    })),
    tags: delivery.tags,
    metadata: delivery.metadata,
    priority: delivery.priority,
    account: delivery.account,
    created_at: toIso(delivery.createdAt),
    scheduled_at: toIsoOrNull(delivery.scheduledAt),
    expires_at: toIsoOrNull(delivery.expiresAt),
    next_attempt_at: toIsoOrNull(nextAttemptOf(delivery)),
    finished_at: toIsoOrNull(delivery.finishedAt),
    recipients: delivery.recipients,
    attempts: delivery.attempts.map(toAttempt),
    error: toError(delivery.error),
    warnings: delivery.warnings,
    possible_duplicate: delivery.possibleDuplicate,
    test: delivery.test,
    durability,
    ...(caller !== null && isAdmin(caller) && { key: delivery.owner }),
  };
}

/** Null, too, if it expires before. */
function nextAttemptOf({ nextAttemptAt, expiresAt }: Delivery): number | null {
  return nextAttemptAt !== null && nextAttemptAt < (expiresAt ?? Number.POSITIVE_INFINITY)
    ? nextAttemptAt
    : null;
}

/** What callers see of a message that is no longer kept. */
export function toDropped({
  id,
  tombstone,
}: {
  readonly id: string;
  readonly tombstone: Tombstone | null;
}): DroppedMessage {
  return { id, status: tombstone?.status ?? null, finished_at: toIsoOrNull(tombstone?.finishedAt ?? null) };
}

function toAttempt(attempt: Attempt): MessageResource['attempts'][number] {
  return {
    number: attempt.number,
    started_at: toIso(attempt.startedAt),
    ended_at: toIsoOrNull(attempt.endedAt),
    account: attempt.account,
    smtp: attempt.smtp,
    error: toError(attempt.error),
  };
}

function toError(error: DeliveryError | null): MessageResource['error'] {
  if (error === null) return null;
  const { title, retryable } = ERRORS[error.code];
  return {
    code: error.code,
    title,
    detail: error.detail,
    hint: error.hint,
    retryable,
    scope: error.scope,
    smtp: error.smtp,
  };
}

/** The second that was formatted last, up to its dot: nearly always the same one again, and formatting it is dear. */
let lastSecond = { at: Number.NaN, text: '' };

function toIso(at: number): string {
  const ms = at % 1000;
  if (lastSecond.at !== at - ms)
    lastSecond = { at: at - ms, text: new Date(at - ms).toISOString().slice(0, -4) };
  return `${lastSecond.text}${String(ms).padStart(3, '0')}Z`;
}

function toIsoOrNull(at: number | null): string | null {
  return at === null ? null : toIso(at);
}

/** How a sending account is. */
export function toAccountResource({ user, pause, quota, connections }: AccountStatus): AccountResource {
  return {
    user,
    status: pause ? 'paused' : 'ready',
    code: pause?.error.code ?? null,
    detail: pause?.error.detail ?? null,
    hint: pause?.error.hint ?? null,
    smtp: pause?.error.smtp ?? null,
    since: toIsoOrNull(pause?.since ?? null),
    until: toIsoOrNull(pause?.until ?? null),
    quota: {
      messages: toBudget(quota.messages),
      recipients: toBudget(quota.recipients),
      reserve: quota.reserve,
      counted_since: toIso(quota.countedSince),
      frees_at: toIsoOrNull(quota.freesAt),
    },
    connections: { ...connections },
  };
}

function toBudget({ limit, learned, used }: LimitStatus): AccountResource['quota']['messages'] {
  return { limit, learned, used, left: Math.max(0, (learned ?? limit) - used) };
}

export function toPreview({ delivery, composed }: Preview): PreviewResource {
  return {
    dry_run: true,
    envelope: { from: delivery.envelope.from.email, to: namedOf(delivery) },
    headers: composed.headers,
    size: composed.size,
    message_id: delivery.messageId,
    warnings: delivery.warnings,
  };
}
