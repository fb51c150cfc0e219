import { type Delivery, hasBounced, isSettled, type Status } from '../../core/delivery/delivery.ts';
import type { Address } from '../../core/message/address.ts';
import type { BodyText } from '../../core/message/body-text.ts';
import { toIso, toIsoOrNull } from '../../core/time.ts';
import type { Email, EmailEntry } from './schemas.ts';

/** The event of Resend for each status: https://resend.com/docs/dashboard/emails/introduction. */
const LAST_EVENTS: Readonly<Record<Status, Email['last_event']>> = {
  scheduled: 'scheduled',
  queued: 'queued',
  sending: 'queued',
  deferred: 'delivery_delayed',
  sent: 'sent',
  partially_sent: 'sent',
  failed: 'failed',
  // The operator has to decide. Clients would send a failed email again, and it might arrive twice.
  uncertain: 'delivery_delayed',
  canceled: 'canceled',
  expired: 'failed',
};

/** A delivery as an entry of a list. */
export function toEmailEntry({
  id,
  messageId,
  envelope,
  content,
  createdAt,
  scheduledAt,
  status,
  recipients,
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
    created_at: toIso(createdAt),
    scheduled_at: toIsoOrNull(scheduledAt),
    last_event: isSettled(status) && hasBounced({ recipients }) ? 'bounced' : LAST_EVENTS[status],
  };
}

/** An email whose texts can be large. */
type LargeEmail = Omit<Email, 'html' | 'text'> & Readonly<Record<'html' | 'text', BodyText | null>>;

/** A delivery with its content. */
export function toEmail(delivery: Delivery): LargeEmail {
  return {
    object: 'email',
    ...toEmailEntry(delivery),
    html: delivery.content?.html ?? null,
    text: delivery.content?.text ?? null,
    tags: Object.entries(delivery.tags).map(([name, value]) => ({ name, value })),
  };
}

/** Characters that a display name may contain only in quotes (RFC 5322, section 3.2.3). */
const SPECIALS = /[()<>[\]:;@\\,."]/;

function toText({ email, name }: Address): string {
  if (name === null) return email;
  return `${SPECIALS.test(name) ? `"${name.replace(/["\\]/g, '\\$&')}"` : name} <${email}>`;
}
