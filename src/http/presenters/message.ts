import { type Caller, isAdmin } from '../../core/auth/caller.ts';
import {
  type Attempt,
  type Delivery,
  type DeliveryError,
  hasBounced,
  namedOf,
  type Recipient,
} from '../../core/delivery/delivery.ts';
import type { Bounce, FollowUp } from '../../core/delivery/follow-up.ts';
import { ERRORS } from '../../core/errors.ts';
import type { Preview } from '../../core/intake/intake.ts';
import type { Durability } from '../../core/ports/backend.ts';
import type { Tombstone } from '../../core/ports/delivery-store.ts';
import { toIso, toIsoOrNull } from '../../core/time.ts';
import type {
  BounceResource,
  DroppedMessage,
  FollowUpResource,
  MessageResource,
  PreviewResource,
} from '../schemas/message.ts';

/**
 * The message resource of a delivery: snake_case, times in ISO 8601, fields in the order of the
 * docs.
 *
 * @param caller The API key that reads it; null: a webhook endpoint.
 */
export function toMessageResource(
  delivery: Delivery,
  durability: Durability,
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
    recipients: delivery.recipients.map(toRecipient),
    bounced: hasBounced(delivery),
    follow_ups: delivery.followUps.map(toFollowUp),
    attempts: delivery.attempts.map(toAttempt),
    error: delivery.error && toError(delivery.error),
    warnings: delivery.warnings,
    possible_duplicate: delivery.possibleDuplicate,
    confirmed_by: delivery.attempts.find(({ confirmedBy }) => confirmedBy)?.confirmedBy ?? null,
    test: delivery.test,
    durability,
    ...(caller !== null && isAdmin(caller) && { key: delivery.owner }),
  };
}

/** Epoch ms of the next attempt; null if there is none, or the message expires first. */
function nextAttemptOf({ nextAttemptAt, expiresAt }: Delivery): number | null {
  return nextAttemptAt !== null && nextAttemptAt < (expiresAt ?? Number.POSITIVE_INFINITY)
    ? nextAttemptAt
    : null;
}

function toRecipient({ email, status, smtp, bounce }: Recipient): MessageResource['recipients'][number] {
  return bounce ? { email, status, smtp, bounce: toBounce(bounce) } : { email, status, smtp };
}

function toBounce(bounce: Bounce): BounceResource {
  const { at, class: bounceClass, smtp, diagnostic = null, reportingMta, unverified } = bounce;
  return { at: toIso(at), class: bounceClass, smtp, diagnostic, reporting_mta: reportingMta, unverified };
}

/** A mail that followed a message. */
export function toFollowUp({ kind, at, from, mailId, recipients }: FollowUp): FollowUpResource {
  return { kind, at: toIso(at), from, message_id: mailId, recipients };
}

function toAttempt(attempt: Attempt): MessageResource['attempts'][number] {
  return {
    number: attempt.number,
    started_at: toIso(attempt.startedAt),
    ended_at: toIsoOrNull(attempt.endedAt),
    account: attempt.account,
    smtp: attempt.smtp,
    error: attempt.error && toError(attempt.error),
    confirmed_by: attempt.confirmedBy ?? null,
  };
}

/** The `error` of a message or of an attempt. */
export function toError(error: DeliveryError): NonNullable<MessageResource['error']> {
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

/** What remains of a message that is no longer stored. */
export function toDroppedMessage({
  id,
  tombstone,
}: {
  readonly id: string;
  readonly tombstone: Tombstone | null;
}): DroppedMessage {
  return { id, status: tombstone?.status ?? null, finished_at: toIsoOrNull(tombstone?.finishedAt ?? null) };
}

/** The result of a dry run. */
export function toPreviewResource({ delivery, composed }: Preview): PreviewResource {
  return {
    dry_run: true,
    envelope: { from: delivery.envelope.from.email, to: namedOf(delivery) },
    headers: composed.headers,
    size: composed.size,
    message_id: delivery.messageId,
    warnings: delivery.warnings,
  };
}
