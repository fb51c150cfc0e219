import { z } from 'zod';
import { CONFIRMATIONS, RECIPIENT_STATUSES, STATUSES, WARNING_CODES } from '../../core/delivery/delivery.ts';
import type { ListPosition } from '../../core/delivery/delivery-query.ts';
import { BOUNCE_CLASSES, FOLLOW_UP_KINDS } from '../../core/delivery/follow-up.ts';
import { ERROR_CODES } from '../../core/errors.ts';
import { toMailboxKey } from '../../core/message/address.ts';
import { PRIORITIES } from '../../core/message/message.ts';
import type { MessageQuery } from '../../core/messages.ts';
import { DURABILITIES } from '../../core/ports/backend.ts';
import { cursor, limit, nextCursor } from '../validation/pagination.ts';
import { strictObject } from '../validation/validation.ts';
import { bareAddress } from './mailbox.ts';
import { instant, portable } from './text.ts';

const time = z.iso.datetime();
const timeOrNull = time.nullable();

export const address = z.object({
  email: z.string().meta({ examples: ['ada@example.com'] }),
  name: z
    .string()
    .nullable()
    .meta({ examples: ['Ada'] }),
});

export const smtpReply = z.object({
  code: z.int().meta({ examples: [250] }),
  enhanced: z
    .string()
    .nullable()
    .meta({ description: 'The enhanced status code (RFC 3463).', examples: ['2.0.0'] }),
  response: z.string().meta({
    description: 'The text of the reply, its lines joined.',
    examples: ['OK  1722933305 a1b2 - gsmtp'],
  }),
});

export const errorCode = z
  .enum(ERROR_CODES)
  .meta({ description: 'A stable code that clients can branch on. Titles, details and hints can change.' });

export const deliveryError = z.object({
  code: errorCode,
  title: z.string(),
  detail: z.string(),
  hint: z.string().meta({ description: 'How to fix the cause.' }),
  retryable: z.boolean(),
  scope: z.enum(['message', 'account']).meta({
    description: 'What the fault affects. A fault of the account delays its mail, but never fails it.',
  }),
  smtp: smtpReply.nullable(),
});

export const bounce = z.object({
  at: time.meta({ description: 'When the report arrived.' }),
  class: z.enum(BOUNCE_CLASSES).meta({
    description:
      '`hard`: the address does not exist. `soft`: a fault of the mailbox or of its server. `blocked`: the server refuses mail of this sender. `policy`: something that the sender can fix, such as its DNS records or the size of the message.',
  }),
  smtp: smtpReply
    .nullable()
    .meta({ description: 'The reply of the receiving server. Null if the report quotes none.' }),
  diagnostic: z
    .string()
    .nullable()
    .meta({
      description: 'The reason that the report states if it quotes no reply.',
      examples: ["DNS Error: DNS type 'mx' lookup of example.com responded with code NXDOMAIN"],
    }),
  reporting_mta: z
    .string()
    .nullable()
    .meta({ description: 'The server that reports.', examples: ['googlemail.com'] }),
  unverified: z.boolean().meta({
    description: 'Whether the report is from the server of the recipient, and not from Gmail.',
  }),
});

export const followUp = z.object({
  kind: z.enum(FOLLOW_UP_KINDS).meta({
    description:
      '`bounced`: a report that recipients do not get the message. `delayed`: a report that the server still tries. `replied`: a reply. `auto_replied`: an automatic reply, such as an out-of-office notice.',
  }),
  at: time.meta({ description: 'When the mail arrived.' }),
  from: z.string().meta({ examples: ['mailer-daemon@googlemail.com'] }),
  message_id: z
    .string()
    .meta({ description: 'The Message-ID of the mail.', examples: ['<CAF1x@mail.gmail.com>'] }),
  recipients: z
    .array(z.string())
    .meta({ description: 'The recipients that a report is about. Empty for replies.' }),
});

export const recipient = z.object({
  email: z.string().meta({ examples: ['ada@example.com'] }),
  status: z.enum(RECIPIENT_STATUSES).meta({
    description:
      '`suppressed`: not attempted, see GET /suppressions/{email}. `bounced`: according to a report, the recipient did not get the message.',
  }),
  smtp: smtpReply.nullable(),
  bounce: bounce.optional().meta({ description: 'Only if the status is `bounced`.' }),
});

const confirmation = z.enum(CONFIRMATIONS).nullable().meta({
  description:
    'What proved that the server had accepted the message although its reply was lost. `sent_mail`: a copy in Sent Mail of the account. Null if the reply proved it.',
});

export const attempt = z.object({
  number: z.int(),
  started_at: time,
  ended_at: timeOrNull.meta({ description: 'Null while the attempt is running.' }),
  account: z.string().meta({ examples: ['bot@acme.com'] }),
  smtp: smtpReply.nullable(),
  error: deliveryError.nullable(),
  confirmed_by: confirmation,
});

export const attachmentInfo = z.object({
  filename: z.string().meta({ examples: ['invoice.pdf'] }),
  size: z.int().meta({ description: 'Size of the decoded content, in bytes.', examples: [48_213] }),
  content_type: z
    .string()
    .nullable()
    .meta({
      description:
        'The media type that it is sent with. Null if it was accepted by a version that did not store it.',
      examples: ['application/pdf'],
    }),
});

export const warning = z.object({
  code: z.enum(WARNING_CODES),
  detail: z.string().meta({
    examples: [
      'No account owns sales@acme.com, and FROM_POLICY is rewrite: the message is sent from bot@acme.com.',
    ],
  }),
});

const warnings = z.array(warning).meta({ description: 'Changes that the service made to the message.' });

/** One accepted message and everything that has happened to it. */
export const messageResource = z.object({
  id: z.string().meta({ examples: ['msg_01k7m4q2'] }),
  status: z.enum(STATUSES).meta({
    description:
      '`sent`: Gmail accepted the message for every recipient, which does not mean that it was delivered or read.',
  }),
  message_id: z.string().meta({
    description: 'The Message-ID header; replies refer to it.',
    examples: ['<msg_01k7m4q2@acme.com>'],
  }),
  from: address,
  to: z.array(address),
  cc: z.array(address),
  bcc: z.array(address),
  reply_to: z.array(address),
  subject: z.string(),
  template: z
    .string()
    .nullable()
    .meta({ description: 'The id of its template.', examples: ['invoice'] }),
  attachments: z.array(attachmentInfo),
  tags: z.record(z.string(), z.string()),
  metadata: z.record(z.string(), z.string()),
  priority: z.enum(PRIORITIES),
  account: z
    .string()
    .meta({ description: 'The account that sends the message.', examples: ['bot@acme.com'] }),
  created_at: time,
  scheduled_at: timeOrNull,
  expires_at: timeOrNull,
  next_attempt_at: timeOrNull,
  finished_at: timeOrNull,
  recipients: z.array(recipient),
  bounced: z.boolean().meta({ description: 'Whether a recipient has bounced. The status stays as it was.' }),
  follow_ups: z.array(followUp).meta({
    description: 'Mail that followed the message into the inbox of its account, oldest first, at most 20.',
  }),
  attempts: z.array(attempt),
  error: deliveryError.nullable().meta({ description: 'Why the message failed, or why it is waiting.' }),
  warnings,
  possible_duplicate: z
    .boolean()
    .meta({ description: 'An attempt ended without a reply and was followed by another.' }),
  confirmed_by: confirmation,
  test: z.boolean().meta({
    description:
      'Whether it was sent with a test key: then it goes to the built-in simulator, never to Gmail.',
  }),
  durability: z.enum(DURABILITIES).meta({
    description: 'Where accepted messages are stored. Those in `memory` are lost in a crash or restart.',
  }),
  key: z
    .string()
    .optional()
    .meta({
      description: 'The name of the API key that sent it. Only in responses to admin keys.',
      examples: ['crm'],
    }),
});

export const droppedMessage = z
  .object({
    id: z.string().meta({ examples: ['msg_01k7m4q2'] }),
    status: z.enum(STATUSES).nullable().meta({ description: 'Null if it is no longer known.' }),
    finished_at: timeOrNull,
  })
  .meta({
    description: 'What remains of a finished message that was dropped before RETAIN, for lack of space.',
  });

export const messageList = z.object({ messages: z.array(messageResource), next_cursor: nextCursor });

const statuses = z
  .string()
  .transform((text, context) => {
    const words = text.split(',');
    const known = STATUSES.filter((status) => words.includes(status));
    if (known.length === new Set(words).size) return known;
    context.addIssue({
      code: 'custom',
      message: `Must be one of ${STATUSES.join(', ')}, or several separated by commas.`,
    });
    return z.NEVER;
  })
  .meta({ description: 'One status, or several separated by commas, such as `failed,uncertain`.' });

/** Filters a list of messages; maps to {@link MessageQuery}. */
export const messageQuery = strictObject({
  status: statuses.optional(),
  bounced: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional()
    .meta({ description: 'Whether a recipient did not get the message, according to a report.' }),
  tag: portable(z.string().min(1)).optional().meta({
    description: 'The name of a tag, or `name:value`, such as `flow:welcome`. Encode a + as %2B.',
  }),
  to: bareAddress
    .optional()
    .meta({ description: 'The address of a recipient in to, cc or bcc. Encode a + as %2B.' }),
  created_after: instant.optional().meta({ description: 'Only messages created at this time or later.' }),
  created_before: instant.optional().meta({ description: 'Only messages created before this time.' }),
  key: portable(z.string().min(1)).optional().meta({
    description:
      'The name of the API key that sent the messages. Another key than the own one requires the scope `admin`.',
  }),
  order: z.enum(['newest', 'oldest']).optional().meta({
    description:
      '`newest`, the default: newest first. `oldest`: only messages that wait, oldest first. Those are queued, sending or deferred, or were scheduled for a time that has passed.',
  }),
  limit,
  cursor: cursor(toPosition),
}).transform(
  (query): MessageQuery => ({
    key: query.key ?? null,
    order: query.order ?? 'newest',
    statuses: query.status ?? null,
    bounced: query.bounced ?? null,
    tag: query.tag ?? null,
    recipient: query.to === undefined ? null : toMailboxKey(query.to),
    createdAfter: query.created_after ?? null,
    createdBefore: query.created_before ?? null,
    limit: query.limit,
    after: query.cursor ?? null,
  }),
);

function toPosition([createdAt = '', id = '']: readonly string[]): ListPosition | null {
  return /^\d{1,15}$/.test(createdAt) ? { createdAt: Number(createdAt), id } : null;
}

/** The path of one message. Without an example, because Swagger UI would put it into the form. */
export const messageParams = z.object({
  id: z.string().meta({ description: 'The `id` of an accepted message.' }),
});

export const reschedule = strictObject({
  scheduled_at: instant.meta({ description: 'When to send the message.' }),
});

/** A deeply read-only view of T, so that values can be shared without a copy. */
export type Immutable<T> = { readonly [Key in keyof T]: Immutable<T[Key]> };

export type MessageResource = Immutable<z.output<typeof messageResource>>;
export type BounceResource = Immutable<z.output<typeof bounce>>;
export type FollowUpResource = Immutable<z.output<typeof followUp>>;
export type DroppedMessage = Immutable<z.output<typeof droppedMessage>>;

export const preview = z.object({
  dry_run: z.literal(true),
  envelope: z.object({ from: z.string(), to: z.array(z.string()) }),
  headers: z.array(z.object({ name: z.string(), value: z.string() })),
  size: z.int().meta({ description: 'Size of the encoded message, in bytes.' }),
  message_id: z.string(),
  warnings,
});

export type PreviewResource = Immutable<z.output<typeof preview>>;

/** What POST /send returns with status 200: the message is settled, or nothing is sent. */
export const sendResult = z.union([messageResource, preview, droppedMessage]);
