import { z } from 'zod';
import { PRIORITIES } from '../../core/message/message.ts';
import { findScheduleErrors } from '../../core/message/schedule.ts';
import { isRecord } from '../validation/json-values.ts';
import { objectOrEmptyList, optional, optionalOrNull } from '../validation/leniency.ts';
import { strictObject } from '../validation/validation.ts';
import { attachment } from './attachment.ts';
import { calendar } from './calendar.ts';
import { headers } from './headers.ts';
import { MAX_RECIPIENTS, mailboxes, replyTo, sender } from './mailbox.ts';
import { templateUse } from './template.ts';
import { bodyText, instant, labels, line } from './text.ts';
import { messageId, references } from './thread.ts';
import { unsubscribe } from './unsubscribe.ts';

const MAX_ATTACHMENTS = 100;

function add(context: z.core.$RefinementCtx, path: string[], code: string, message: string): void {
  context.addIssue({ code: 'custom', path, message, params: { code } });
}

export const idempotencyKey = z.string().optional().meta({
  description:
    'Makes the request safe to repeat: a second request with the same key sends nothing. 1 to 256 visible ASCII characters, such as a UUID.',
});

const fields = strictObject({
  from: optional(sender).meta({
    description:
      'The default is GMAIL_FROM. The account that owns the address sends the message. FROM_POLICY decides about an address that no account owns, which Gmail would replace silently.',
  }),
  to: mailboxes.refine((list) => list.length > 0, {
    error: 'Must have at least one recipient.',
    params: { code: 'too_few' },
  }),
  cc: optional(mailboxes),
  bcc: optional(mailboxes),
  reply_to: optional(replyTo),
  subject: optionalOrNull(line(undefined, 0)).meta({
    description: 'Required unless the template has a subject, which this one overrides.',
    examples: ['Your invoice'],
  }),
  html: optional(bodyText).meta({ examples: ['<p>Here is your invoice.</p>'] }),
  text: optional(bodyText).meta({
    description: 'Generated from `html` if absent.',
    examples: ['Here is your invoice.'],
  }),
  template: optional(templateUse).meta({
    description: 'Used instead of `html` and `text`: see GET /templates.',
  }),
  attachments: optional(z.array(attachment).max(MAX_ATTACHMENTS)),
  calendar: optional(calendar).meta({
    description: 'An invitation: mail clients show it with buttons. Also attached as `invite.ics`.',
  }),
  headers: optional(objectOrEmptyList(headers)),
  in_reply_to: optional(messageId).meta({
    description: 'The Message-ID of the message that this one replies to.',
  }),
  references: optional(references).meta({
    description:
      'The Message-IDs of the thread, oldest first. Of more than 100, the first and the 99 latest are kept.',
  }),
  unsubscribe: optional(unsubscribe).meta({
    description: 'Sets List-Unsubscribe and, with `one_click`, List-Unsubscribe-Post.',
  }),
  tags: optional(objectOrEmptyList(labels)).meta({
    description: 'Labels to find the message by. They are not part of the mail.',
    examples: [{ flow: 'welcome' }],
  }),
  metadata: optional(objectOrEmptyList(labels)).meta({
    description: 'Labels that are returned with the message. They are not part of the mail.',
    examples: [{ crm_id: '42' }],
  }),
  scheduled_at: optionalOrNull(instant).meta({
    description: 'When to send the message, at most one year ahead. A time in the past means now.',
  }),
  expires_at: optional(instant).meta({ description: 'When to give up if the message has not been sent.' }),
  priority: optional(z.enum(PRIORITIES)).meta({
    description:
      'High-priority messages are sent first, and can use the reserve of the quota (GMAIL_RESERVE).',
  }),
  dry_run: optional(z.boolean()).meta({
    description: 'Returns what would be sent, and sends nothing. `Idempotency-Key` is ignored.',
  }),
});

export type SendRequest = z.output<typeof fields>;

/** Checks rules that involve more than one field. */
function checkTogether(
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
      `There are ${recipients} recipients in to, cc and bcc: Gmail accepts at most ${MAX_RECIPIENTS} in one message.`,
    );
  }
  if (request.template !== undefined) {
    for (const field of ['html', 'text'] as const) {
      if (request[field] !== undefined)
        add(context, [field], 'conflict', 'The template provides this: remove one of the two.');
    }
  } else {
    if (request.html === undefined && request.text === undefined)
      add(context, [], 'required', 'Set html, text or both; or a template.');
    if (request.subject === undefined) add(context, ['subject'], 'required', 'This field is required.');
    if (request.subject === '') add(context, ['subject'], 'too_short', 'Must not be empty.');
  }
  if (hasDuplicateContentIds(request.attachments)) {
    add(
      context,
      ['attachments'],
      'duplicate_content_id',
      'Two attachments have the same content_id: make each unique.',
    );
  }
  // Absent and invalid times become NaN, for which every comparison is false.
  if (Number(request.expires_at) <= Number(request.scheduled_at)) {
    add(context, ['expires_at'], 'out_of_range', 'Must be later than scheduled_at.');
  }
  // For a valid request the intake checks the schedule, once it is known that this is no repeated
  // request.
  if (context.issues.length === 0) return;
  const times = { scheduledAt: request.scheduled_at ?? null, expiresAt: request.expires_at ?? null };
  for (const { pointer, code, detail } of findScheduleErrors(times, Date.now()))
    add(context, [pointer.slice(1)], code, detail);
}

/** Runs a refinement also if single fields are invalid, so that all errors are reported at once. */
const DESPITE_FIELD_ERRORS = { when: ({ value }: { readonly value: unknown }) => isRecord(value) };

/**
 * Adds the rules of {@link checkTogether} to the schema of a request.
 *
 * A valid request is parsed by a compiled schema, which takes half the time. zod cannot compile a
 * refinement with a condition. The compiled schema has none, and for a valid request the condition
 * always holds. Whatever it refuses, the schema itself parses again and reports.
 */
export function withRules<Schema extends z.ZodType<Pick<SendRequest, 'to'> & Partial<SendRequest>>>(
  schema: Schema,
): Schema {
  let compiled: Schema | undefined;
  return z.withParser(schema.superRefine(checkTogether, DESPITE_FIELD_ERRORS), (request) => {
    // Compiling takes some ms, so a process that serves no request does not wait for it.
    compiled ??= z.compile(schema.superRefine(checkTogether), { strict: true });
    const result = compiled.safeParse(request);
    return result.success ? result.data : z.INVALID;
  });
}

export const sendRequest = withRules(fields);

/** Fields of messages: any of them, and the rules of {@link checkTogether} are not applied. */
export const messageDefaults = fields.partial();

function hasDuplicateContentIds(attachments: SendRequest['attachments']): boolean {
  if (!Array.isArray(attachments)) return false;
  const ids = attachments.flatMap((file) => file?.content_id ?? []);
  return new Set(ids).size < ids.length;
}
