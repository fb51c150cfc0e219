import type { Routed } from '../accounts/accounts.ts';
import type { Caller } from '../auth/caller.ts';
import type { AttachmentInfo, Delivery, Warning } from '../delivery/delivery.ts';
import { joinWithin, MAX_LIST_LENGTH } from '../errors.ts';
import { contentBytes, type Message, recipientsOf, recordBytes } from '../message/message.ts';

/** What the message is made from, besides its fields. */
export interface Origin {
  readonly template: string | null;
  readonly attachments: readonly AttachmentInfo[];
  readonly warnings: readonly Warning[];
}

export function toNewDelivery(
  { message, account, template, attachments, warnings }: Routed & Origin,
  caller: Caller,
  requestId: string,
  id: string,
): Delivery {
  const { envelope, content, tags, metadata, priority, scheduledAt, expiresAt } = message;
  const { replyTo } = content;
  const createdAt = Date.now();
  const domain = envelope.from.email.slice(envelope.from.email.lastIndexOf('@') + 1);
  return {
    id,
    revision: 1,
    owner: caller.name,
    requestId,
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
    bytes: recordBytes({ ...message, replyTo, attachments, warnings }) + contentBytes(content),
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
  };
}

/** @param asked the message before it was redirected and routed */
export function warningsOf(asked: Message, redirected: Message, routed: Message): Warning[] {
  const warnings: Warning[] = [];
  if (redirected !== asked) {
    const meant = joinWithin(recipientsOf(asked.envelope), MAX_LIST_LENGTH);
    const detail = `REDIRECT_ALL_TO is set: the message goes to ${recipientsOf(redirected.envelope)} instead of ${meant}.`;
    warnings.push({ code: 'recipients_redirected', detail });
  }
  const [from, sentFrom] = [asked.envelope.from.email, routed.envelope.from.email];
  if (from !== sentFrom) {
    const detail = `No account owns ${from}, and FROM_POLICY is rewrite: the message is sent from ${sentFrom}.`;
    warnings.push({ code: 'from_rewritten', detail });
  }
  return warnings;
}
