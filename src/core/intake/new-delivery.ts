import type { Routed } from '../accounts/accounts.ts';
import type { Caller } from '../auth/caller.ts';
import type { AttachmentInfo, Delivery, Warning } from '../delivery/delivery.ts';
import { type TraceContext, traceLength } from '../delivery/trace-context.ts';
import { joinWithin, MAX_LIST_LENGTH } from '../errors.ts';
import { domainOf } from '../message/address.ts';
import { type Content, contentBytes, type Message, recipientsOf, recordBytes } from '../message/message.ts';
import type { Composer } from '../ports/composer.ts';

/** Where a message comes from. */
export interface Origin {
  readonly caller: Caller;
  readonly requestId: string;
  readonly trace: TraceContext | null;
}

/** A message that has passed every check. */
interface CheckedMessage extends Routed {
  /** Id of the template it was made from. */
  readonly template: string | null;
  readonly attachments: readonly AttachmentInfo[];
  readonly warnings: readonly Warning[];
}

/** Returns the first revision of the delivery of a message. */
export function toNewDelivery(
  { message, account, template, attachments, warnings }: CheckedMessage,
  { caller, requestId, trace }: Origin,
  id: string,
): Delivery {
  const { envelope, content, tags, metadata, priority, scheduledAt, expiresAt } = message;
  const { replyTo } = content;
  const createdAt = Date.now();
  const domain = domainOf(envelope.from.email);
  return {
    id,
    revision: 1,
    owner: caller.name,
    requestId,
    trace,
    test: caller.test,
    status: scheduledAt !== null && scheduledAt > createdAt ? 'scheduled' : 'queued',
    account,
    messageId: `<${id}@${domain}>`,
    envelope,
    replyTo,
    template,
    attachments,
    warnings,
    content,
    tags,
    metadata,
    priority,
    bytes:
      recordBytes({ envelope, replyTo, attachments, warnings, tags, metadata }) +
      contentBytes(content) +
      traceLength(trace),
    createdAt,
    scheduledAt,
    expiresAt,
    nextAttemptAt: null,
    finishedAt: null,
    recipients: recipientsOf(envelope).map((email) => ({ email, status: 'pending', smtp: null })),
    attempts: [],
    error: null,
    possibleDuplicate: false,
    perAttempt: null,
    retriedForMs: 0,
    lookup: null,
    followUps: [],
  };
}

/** Describes the attachments of a message, for the time after their content is dropped. */
export function describeAttachments(
  { attachments }: Content,
  composer: Pick<Composer, 'typeOf'>,
): AttachmentInfo[] {
  return attachments.map((file) => ({
    filename: file.filename,
    size: file.content.length,
    contentType: composer.typeOf(file),
  }));
}

/**
 * Lists what the service changed about a message.
 *
 * @param requested The message before it was redirected and routed.
 */
export function warningsOf(requested: Message, redirected: Message, routed: Message): Warning[] {
  const warnings: Warning[] = [];
  if (redirected !== requested) {
    const original = joinWithin(recipientsOf(requested.envelope), MAX_LIST_LENGTH);
    const detail = `REDIRECT_ALL_TO is set: the message goes to ${recipientsOf(redirected.envelope)} instead of ${original}.`;
    warnings.push({ code: 'recipients_redirected', detail });
  }
  const [from, sentFrom] = [requested.envelope.from.email, routed.envelope.from.email];
  if (from !== sentFrom) {
    const detail = `No account owns ${from}, and FROM_POLICY is rewrite: the message is sent from ${sentFrom}.`;
    warnings.push({ code: 'from_rewritten', detail });
  }
  return warnings;
}
