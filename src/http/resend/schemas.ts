import { z } from 'zod';
import { attachment } from '../schemas/attachment.ts';
import { errorCode, type Immutable } from '../schemas/message.ts';
import { fieldError } from '../schemas/problem.ts';
import { checkTogether, EVEN_IF_WRONG, SEND_EXAMPLE, sendRequest } from '../schemas/send.ts';
import { labelName, labels, labelValue } from '../schemas/text.ts';
import { optional } from '../validation/leniency.ts';
import { limit } from '../validation/pagination.ts';
import { strictObject } from '../validation/validation.ts';
import { liftHeaders } from './headers.ts';

/** What Resend has and Outtray has not; `mend` says what to do without it. */
function notHere(mend: string) {
  return optional(z.never({ error: mend })).meta({ description: `Refused. ${mend}` });
}

const emailAttachment = strictObject({
  // The first, since what is wrong with it is told before the content that is missing.
  path: notHere('No file is fetched from a path or URL: read it, and give its bytes as base64 in content.'),
  ...attachment.shape,
});

const tag = strictObject({ name: labelName, value: labelValue });

const tags = z
  .array(tag)
  .transform((list, context) => {
    const map = new Map(list.map(({ name, value }) => [name, value]));
    if (map.size < list.length) {
      context.addIssue({
        code: 'custom',
        message: 'Two tags have the same name: each needs its own.',
        params: { code: 'duplicate_tag' },
      });
    }
    return Object.fromEntries<string | number | boolean>(map);
  })
  .pipe(labels);

const { from, to, cc, bcc, reply_to, subject, html, text, template, headers, scheduled_at } =
  sendRequest.shape;
const { in_reply_to, references, unsubscribe } = sendRequest.shape;

/**
 * One email, as Resend's SDKs write it (https://resend.com/docs/api-reference/emails/send-email). Field by field, and in what spans fields,
 * the rules are those of POST /send.
 */
export const emailRequest = z
  .preprocess(
    liftHeaders,
    strictObject({
      from,
      to,
      cc,
      bcc,
      reply_to,
      subject,
      html,
      text,
      template,
      attachments: optional(z.array(emailAttachment).max(100)),
      headers: headers.meta({
        description:
          'X-… and a few more, as in POST /send; also List-Unsubscribe, List-Unsubscribe-Post, In-Reply-To and References.',
      }),
      in_reply_to,
      references,
      unsubscribe,
      tags: optional(tags).meta({
        description: 'To find the message by. Not in the mail.',
        examples: [[{ name: 'flow', value: 'welcome' }]],
      }),
      scheduled_at: scheduled_at.meta({
        description:
          'Send it then, at most a year ahead: ISO 8601 with its offset. Words such as "in 1 hour" are not read. In the past: now.',
      }),
      topic_id: notHere(
        'There are no topics: leave it out, and keep who wants what in your own application.',
      ),
    }).superRefine(checkTogether, EVEN_IF_WRONG),
  )
  .meta({ examples: [SEND_EXAMPLE] });

/** One email of a batch. It is validated by itself: to the batch it may be anything. */
export const emailItem = z.unknown();

const MAX_EMAILS = 100;

export const emailBatchRequest = z
  .array(emailItem)
  .min(1)
  .max(MAX_EMAILS)
  .meta({ examples: [[SEND_EXAMPLE]] });

const EVENTS = ['scheduled', 'queued', 'delivery_delayed', 'sent', 'failed', 'canceled'] as const;

const id = z.string().meta({ examples: ['msg_01k7m4q2'] });
const time = z.iso.datetime();
const addresses = z.array(z.string()).meta({ examples: [['Ada <ada@example.com>']] });

export const emailId = z.object({ id });

/** What became of a change. */
export const emailReference = z.object({ object: z.literal('email'), id });

const emailEntry = z.object({
  id,
  message_id: z
    .string()
    .meta({ description: 'The Message-ID header.', examples: ['<msg_01k7m4q2@acme.com>'] }),
  from: z.string().meta({ examples: ['Acme <bot@acme.com>'] }),
  to: addresses,
  cc: addresses,
  bcc: addresses,
  reply_to: addresses
    .nullable()
    .meta({ description: 'null once the content of the message is no longer kept.' }),
  subject: z.string(),
  created_at: time,
  scheduled_at: time.nullable(),
  last_event: z.enum(EVENTS).meta({
    description:
      'Sent means that Gmail took it: never delivered, opened or clicked, which Outtray cannot know. GET /messages/{id} tells more than these.',
  }),
});

export const email = z.object({
  object: z.literal('email'),
  ...emailEntry.shape,
  html: z
    .string()
    .nullable()
    .meta({ description: 'null if there is none, or once the content of the message is no longer kept.' }),
  text: z
    .string()
    .nullable()
    .meta({ description: 'null if there is none, or once the content of the message is no longer kept.' }),
  tags: z.array(z.object({ name: z.string(), value: z.string() })),
});

export const emailList = z.object({
  object: z.literal('list'),
  has_more: z.boolean(),
  data: z.array(emailEntry),
});

const ONLY_AFTER = 'Lists only go on from newer to older: give after.';

export const emailQuery = strictObject({
  limit,
  after: z.string().optional().meta({ description: 'The id of the last email of the page before.' }),
  before: z
    .never({ error: ONLY_AFTER })
    .optional()
    .meta({ description: `Refused. ${ONLY_AFTER}` }),
});

export const emailBatchAnswer = z.object({
  data: z.array(emailId).meta({ description: 'Those that were accepted, in the order of the batch.' }),
  errors: z
    .array(
      z.object({
        index: z.int().meta({ description: 'Its place in the batch, from 0.' }),
        message: z.string(),
      }),
    )
    .optional()
    .meta({ description: 'Those that were refused. Only with x-batch-validation: permissive.' }),
});

/** The names of Resend's errors that are used here: https://resend.com/docs/api-reference/errors. */
export const RESEND_NAMES = [
  'invalid_idempotency_key',
  'validation_error',
  'missing_api_key',
  'restricted_api_key',
  'invalid_api_key',
  'not_found',
  'method_not_allowed',
  'invalid_idempotent_request',
  'concurrent_idempotent_requests',
  'invalid_attachment',
  'invalid_from_address',
  'invalid_parameter',
  'missing_required_field',
  'rate_limit_exceeded',
  'application_error',
  'internal_server_error',
] as const;

/** Resend's three members, and those of a problem that have no place in these. */
export const resendError = z.object({
  statusCode: z.int().meta({ examples: [422] }),
  name: z.enum(RESEND_NAMES).meta({ examples: ['validation_error'] }),
  message: z.string().meta({ description: 'What is wrong, and how to mend it.' }),
  code: errorCode.meta({ description: 'Which of our errors it is: see /problems/{code}.' }),
  hint: z.string().meta({ description: 'What mends it.' }),
  retryable: z.boolean().meta({ description: 'Whether the same request may succeed later.' }),
  request_id: z.string().meta({ description: 'Names the request in the logs.' }),
  errors: z
    .array(fieldError)
    .meta({ description: 'Everything that is wrong with the request, part by part.' }),
  accepted: z.array(emailId).optional().meta({
    description:
      'The first emails of the batch, which were accepted before it failed. They are sent: do not send them again.',
  }),
});

export type Email = Immutable<z.output<typeof email>>;
export type EmailEntry = Immutable<z.output<typeof emailEntry>>;
export type ResendName = (typeof RESEND_NAMES)[number];
export type ResendError = Immutable<z.output<typeof resendError>>;
