import { z } from 'zod';
import { PRIORITIES } from '../../core/message/message.ts';
import { findScheduleErrors } from '../../core/message/schedule.ts';
import { isRecord } from '../validation/json-values.ts';
import { objectOrEmptyList, optional, optionalOrNull } from '../validation/leniency.ts';
import { strictObject } from '../validation/validation.ts';
import { attachment } from './attachment.ts';
import { headers } from './headers.ts';
import { MAX_RECIPIENTS, mailboxes, replyTo, sender } from './mailbox.ts';
import { templateUse } from './template.ts';
import { instant, labels, line, prose } from './text.ts';
import { messageId, references } from './thread.ts';
import { unsubscribe } from './unsubscribe.ts';

const MAX_ATTACHMENTS = 100;
function add(context: z.core.$RefinementCtx, path: string[], code: string, message: string): void {
  context.addIssue({ code: 'custom', path, message, params: { code } });
}

export const idempotencyKey = z.string().optional().meta({
  description: 'Up to 256 visible ASCII characters, such as a UUID. Not used by a dry run.',
});

const fields = strictObject({
  from: optional(sender).meta({
    description:
      'Absent: GMAIL_FROM. It picks the account that owns the address; what FROM_POLICY does to one that nobody owns, Gmail would do silently.',
  }),
  to: mailboxes
    .refine((list) => list.length > 0, {
      error: 'Must have at least one recipient.',
      params: { code: 'too_few' },
    })
    .meta({ examples: [['ada@example.com', { email: 'bob@example.com', name: 'Bob' }]] }),
  cc: optional(mailboxes),
  bcc: optional(mailboxes),
  reply_to: optional(replyTo),
  subject: optionalOrNull(line(undefined, 0)).meta({
    description: 'Required, unless the template has one; this one goes before it.',
    examples: ['Your invoice'],
  }),
  html: optional(prose).meta({ examples: ['<p>Here is your invoice.</p>'] }),
  text: optional(prose).meta({
    description: 'Made from html if absent.',
    examples: ['Here is your invoice.'],
  }),
  template: optional(templateUse).meta({ description: 'In place of html and text: see GET /templates.' }),
  attachments: optional(z.array(attachment).max(MAX_ATTACHMENTS)),
  headers: optional(objectOrEmptyList(headers)),
  in_reply_to: optional(messageId).meta({ description: 'The Message-ID of the message this one answers.' }),
  references: optional(references).meta({
    description:
      'The Message-IDs of the thread, the oldest first. Of more than 100 the first and the latest are kept.',
  }),
  unsubscribe: optional(unsubscribe).meta({
    description: 'List-Unsubscribe, and with one_click List-Unsubscribe-Post.',
  }),
  tags: optional(objectOrEmptyList(labels)).meta({
    description: 'To find the message by. Not in the mail.',
    examples: [{ flow: 'welcome' }],
  }),
  metadata: optional(objectOrEmptyList(labels)).meta({
    description: 'Given back with the message. Not in the mail.',
    examples: [{ crm_id: '42' }],
  }),
  scheduled_at: optionalOrNull(instant).meta({
    description: 'Send it then, at most a year ahead. In the past: now.',
  }),
  expires_at: optional(instant).meta({ description: 'Give up then, if it has not been sent.' }),
  priority: optional(z.enum(PRIORITIES)).meta({
    description: 'High goes before normal, and may use the part of the quota that is kept for it.',
  }),
  dry_run: optional(z.boolean()).meta({ description: 'Say what would be sent, and send nothing.' }),
});

export type SendRequest = z.output<typeof fields>;

/** What fields demand of one another. */
export function checkTogether(
  request: Pick<SendRequest, 'to'> & Partial<SendRequest>,
  context: z.core.$RefinementCtx,
): void {
  const recipients = [request.to, request.cc, request.bcc].reduce(
    (sum, list) => sum + (Array.isArray(list) ? list.length : 0),
    0,
  );
  if (recipients > MAX_RECIPIENTS) {
    add(
      context,
      ['to'],
      'too_many',
      `There are ${recipients} recipients in to, cc and bcc: Gmail takes ${MAX_RECIPIENTS} in one message.`,
    );
  }
  if (request.template !== undefined) {
    for (const field of ['html', 'text'] as const) {
      if (request[field] !== undefined)
        add(context, [field], 'conflict', 'The template says this: give one of the two.');
    }
  } else {
    if (request.html === undefined && request.text === undefined)
      add(context, [], 'required', 'Give html, text, or both; or a template.');
    if (request.subject === undefined) add(context, ['subject'], 'required', 'This field is required.');
    if (request.subject === '') add(context, ['subject'], 'too_short', 'Must not be empty.');
  }
  if (hasTwins(request.attachments)) {
    add(
      context,
      ['attachments'],
      'duplicate_content_id',
      'Two attachments have the same content_id: each needs its own.',
    );
  }
  // What is absent or wrong is NaN here, and no comparison with that holds.
  if (Number(request.expires_at) <= Number(request.scheduled_at)) {
    add(context, ['expires_at'], 'out_of_range', 'Must be later than scheduled_at.');
  }
  // If nothing is wrong, the intake looks at the clock, but not before it is known that this is no repeated request.
  if (context.issues.length === 0) return;
  const times = { scheduledAt: request.scheduled_at ?? null, expiresAt: request.expires_at ?? null };
  for (const { pointer, code, detail } of findScheduleErrors(times, Date.now()))
    add(context, [pointer.slice(1)], code, detail);
}

/** Also when fields are wrong by themselves, so that all there is to mend is told at once. */
export const EVEN_IF_WRONG = { when: ({ value }: { readonly value: unknown }) => isRecord(value) };

/** The smallest message that any account may send. */
export const SEND_EXAMPLE = { to: 'ada@example.com', subject: 'Your invoice', text: 'Here is your invoice.' };

export const sendRequest = fields
  .superRefine(checkTogether, EVEN_IF_WRONG)
  .meta({ examples: [SEND_EXAMPLE] });

function hasTwins(attachments: SendRequest['attachments']): boolean {
  if (!Array.isArray(attachments)) return false;
  const ids = attachments.flatMap((file) => file?.content_id ?? []);
  return new Set(ids).size < ids.length;
}
