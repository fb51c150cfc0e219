import type { Address } from '../../core/message/address.ts';
import type { Attachment, Draft, TemplateUse, Unsubscribe } from '../../core/message/message.ts';
import type { SendRequest } from '../schemas/send.ts';

/** Shared by all messages, since a queued message keeps its draft in memory. */
const NO_ITEMS: readonly never[] = [];
const NO_ENTRIES: Readonly<Record<string, string>> = {};

/**
 * Converts a validated request into the draft of the domain. The only place that knows both shapes.
 *
 * @param defaultFrom From of a request that names none.
 */
export function toDraft(request: SendRequest, defaultFrom: Address): Draft {
  return {
    template: request.template ? toTemplateUse(request.template) : null,
    envelope: {
      from: request.from ?? defaultFrom,
      to: request.to,
      cc: request.cc ?? NO_ITEMS,
      bcc: request.bcc ?? NO_ITEMS,
      subject: request.subject ?? '',
    },
    content: {
      replyTo: request.reply_to ?? NO_ITEMS,
      html: request.html ?? null,
      text: request.text ?? null,
      calendar: request.calendar ?? null,
      attachments: request.attachments?.map(toAttachment) ?? NO_ITEMS,
      headers: request.headers ?? NO_ENTRIES,
      inReplyTo: request.in_reply_to ?? null,
      references: request.references ?? NO_ITEMS,
      unsubscribe: request.unsubscribe ? toUnsubscribe(request.unsubscribe) : null,
    },
    tags: request.tags ?? NO_ENTRIES,
    metadata: request.metadata ?? NO_ENTRIES,
    priority: request.priority ?? 'normal',
    scheduledAt: request.scheduled_at ?? null,
    expiresAt: request.expires_at ?? null,
  };
}

function toTemplateUse({ id, variables = {} }: NonNullable<SendRequest['template']>): TemplateUse {
  return { id, variables };
}

function toAttachment(file: NonNullable<SendRequest['attachments']>[number]): Attachment {
  return {
    filename: file.filename,
    content: file.content,
    contentType: file.content_type ?? null,
    contentId: file.content_id ?? null,
  };
}

function toUnsubscribe({ url, email, one_click }: NonNullable<SendRequest['unsubscribe']>): Unsubscribe {
  return { url: url ?? null, email: email ?? null, oneClick: one_click ?? false };
}
