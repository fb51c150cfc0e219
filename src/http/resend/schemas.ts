import { z } from 'zod';
import { attachment } from '../schemas/attachment.ts';
import { errorCode, type Immutable } from '../schemas/message.ts';
import { fieldError } from '../schemas/problem.ts';
import { sendRequest, withRules } from '../schemas/send.ts';
import { labelName, labels, labelValue } from '../schemas/text.ts';
import { optional } from '../validation/leniency.ts';
import { limit } from '../validation/pagination.ts';
import { strictObject } from '../validation/validation.ts';
import { liftHeaders } from './headers.ts';

/** A field of Resend's API that Outtray does not support; `advice` describes the alternative. */
function unsupported(advice: string) {
  return optional(z.never({ error: advice })).meta({ description: `Not supported. ${advice}` });
}

const emailAttachment = strictObject({
  // Comes first, so that its error precedes the one about missing content.
  path: unsupported(
    'Files are not fetched from a path or URL: read the file, and send its content as base64 in content.',
  ),
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
        message: 'Two tags have the same name: make each unique.',
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
 * One email as Resend's SDKs send it (https://resend.com/docs/api-reference/emails/send-email). The
 * rules for fields and their combinations are those of POST /send.
 */
export const emailRequest = z.preprocess(
  liftHeaders,
  withRules(
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
          'The same headers as in POST /send; also List-Unsubscribe, List-Unsubscribe-Post, In-Reply-To and References.',
      }),
      in_reply_to,
      references,
      unsubscribe,
      tags: optional(tags).meta({
        description: 'Labels to find the message by. They are not part of the mail.',
        examples: [[{ name: 'flow', value: 'welcome' }]],
      }),
      scheduled_at: scheduled_at.meta({
        description:
          'When to send the email, at most one year ahead: ISO 8601 with an offset. Phrases such as "in 1 hour" are not supported. A time in the past means now.',
      }),
      topic_id: unsupported(
        'There are no topics: remove the field, and manage subscriptions in your application.',
      ),
    }),
  ),
);

/** One email of a batch. The schema allows anything, since each email is validated separately. */
export const emailItem = z.unknown();

const MAX_EMAILS = 100;

export const emailBatchRequest = z.array(emailItem).min(1).max(MAX_EMAILS);

const EVENTS = ['scheduled', 'queued', 'delivery_delayed', 'sent', 'bounced', 'failed', 'canceled'] as const;

const id = z.string().meta({ examples: ['msg_01k7m4q2'] });
const time = z.iso.datetime();
const addresses = z.array(z.string()).meta({ examples: [['Ada <ada@example.com>']] });

export const emailId = z.object({ id });

/** The email that was changed. */
export const emailReference = z.object({ object: z.literal('email'), id });

export const emailEntry = z.object({
  id,
  message_id: z
    .string()
    .meta({ description: 'The Message-ID header.', examples: ['<msg_01k7m4q2@acme.com>'] }),
  from: z.string().meta({ examples: ['Acme <bot@acme.com>'] }),
  to: addresses,
  cc: addresses,
  bcc: addresses,
  reply_to: addresses.nullable().meta({ description: 'Null once the content is no longer stored.' }),
  subject: z.string(),
  created_at: time,
  scheduled_at: time.nullable(),
  last_event: z.enum(EVENTS).meta({
    description:
      '`sent`: Gmail accepted the email. `bounced`: according to a report, a recipient did not get it, see INBOUND. There is no `delivered`, `opened` or `clicked`, which Outtray cannot know. GET /messages/{id} has more detail.',
  }),
});

export const email = z.object({
  object: z.literal('email'),
  ...emailEntry.shape,
  html: z
    .string()
    .nullable()
    .meta({ description: 'Null if there is none, or once the content is no longer stored.' }),
  text: z
    .string()
    .nullable()
    .meta({ description: 'Null if there is none, or once the content is no longer stored.' }),
  tags: z.array(z.object({ name: z.string(), value: z.string() })),
});

export const emailList = z.object({
  object: z.literal('list'),
  has_more: z.boolean(),
  data: z.array(emailEntry),
});

const ONLY_AFTER = 'Lists go from newer to older only: use after.';

export const emailQuery = strictObject({
  limit,
  after: z.string().optional().meta({ description: 'The id of the last email of the previous page.' }),
  before: z
    .never({ error: ONLY_AFTER })
    .optional()
    .meta({ description: `Not supported. ${ONLY_AFTER}` }),
});

export const emailBatchAnswer = z.object({
  data: z.array(emailId).meta({ description: 'The accepted emails, in the order of the batch.' }),
  errors: z
    .array(
      z.object({
        index: z.int().meta({ description: 'The position in the batch, from 0.' }),
        message: z.string(),
      }),
    )
    .optional()
    .meta({ description: 'The refused emails. Only with `x-batch-validation: permissive`.' }),
});

/** The error names of Resend that Outtray uses: https://resend.com/docs/api-reference/errors. */
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

/** The three members of Resend's errors, and the members of a problem that they lack. */
export const resendError = z.object({
  statusCode: z.int().meta({ examples: [422] }),
  name: z.enum(RESEND_NAMES).meta({ examples: ['validation_error'] }),
  message: z.string().meta({ description: 'What is wrong, and how to fix it.' }),
  code: errorCode.meta({ description: 'The code of the error: see /problems/{code}.' }),
  hint: z.string().meta({ description: 'How to fix the cause.' }),
  retryable: z.boolean().meta({ description: 'Whether the same request can succeed later.' }),
  request_id: z.string().meta({ description: 'The id of the request, which is also in the log.' }),
  errors: z.array(fieldError).meta({ description: 'Every invalid part of the request.' }),
  accepted: z.array(emailId).optional().meta({
    description:
      'The first emails of the batch, which were accepted before it failed. Do not send them again.',
  }),
});

export type Email = Immutable<z.output<typeof email>>;
export type EmailEntry = Immutable<z.output<typeof emailEntry>>;
export type ResendName = (typeof RESEND_NAMES)[number];
export type ResendError = Immutable<z.output<typeof resendError>>;
