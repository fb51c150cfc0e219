import type { Delivery, Status } from '../../core/delivery/delivery.ts';
import type { Address } from '../../core/message/address.ts';
import type { Email, EmailEntry } from './schemas.ts';

/** What each status is among Resend's events: https://resend.com/docs/dashboard/emails/introduction. */
const LAST_EVENTS: Readonly<Record<Status, Email['last_event']>> = {
  scheduled: 'scheduled',
  queued: 'queued',
  sending: 'queued',
  deferred: 'delivery_delayed',
  sent: 'sent',
  partially_sent: 'sent',
  failed: 'failed',
  // Nobody knows, and it waits for a person to decide. Called failed it would be sent again, and might arrive twice.
  uncertain: 'delivery_delayed',
  canceled: 'canceled',
  expired: 'failed',
};

/** A delivery as an item of a list. */
export function toEntry({
  id,
  messageId,
  envelope,
  content,
  createdAt,
  scheduledAt,
  status,
}: Delivery): EmailEntry {
  return {
    id,
    message_id: messageId,
    from: toText(envelope.from),
    to: envelope.to.map(toText),
    cc: envelope.cc.map(toText),
    bcc: envelope.bcc.map(toText),
    reply_to: content?.replyTo.map(toText) ?? null,
    subject: envelope.subject,
    created_at: new Date(createdAt).toISOString(),
    scheduled_at: scheduledAt === null ? null : new Date(scheduledAt).toISOString(),
    last_event: LAST_EVENTS[status],
  };
}

export function toEmail(delivery: Delivery): Email {
  return {
    object: 'email',
    ...toEntry(delivery),
    html: delivery.content?.html ?? null,
    text: delivery.content?.text ?? null,
    tags: Object.entries(delivery.tags).map(([name, value]) => ({ name, value })),
  };
}

/** RFC 5322, section 3.2.3: what may stand in a name only between quotes. */
const SPECIALS = /[()<>[\]:;@\\,."]/;

function toText({ email, name }: Address): string {
  if (name === null) return email;
  return `${SPECIALS.test(name) ? `"${name.replace(/["\\]/g, '\\$&')}"` : name} <${email}>`;
}
