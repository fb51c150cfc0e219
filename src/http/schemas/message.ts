import { z } from 'zod';
import { RECIPIENT_STATUSES, STATUSES } from '../../core/delivery.ts';
import { ERROR_CODES } from '../../core/errors.ts';

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
  response: z.string().meta({ description: 'What the server said, its lines joined.', examples: ['OK  1722933305 a1b2 - gsmtp'] }),
});

export const deliveryError = z.object({
  code: z.enum(ERROR_CODES),
  title: z.string(),
  detail: z.string(),
  hint: z.string().meta({ description: 'What mends it.' }),
  retryable: z.boolean(),
  scope: z.enum(['message', 'account']).meta({ description: 'Whose fault: a fault of the account delays mail, but never fails it.' }),
  smtp: smtpReply.nullable(),
});

export const recipient = z.object({
  email: z.string().meta({ examples: ['ada@example.com'] }),
  status: z.enum(RECIPIENT_STATUSES),
  smtp: smtpReply.nullable(),
});

export const attempt = z.object({
  number: z.int(),
  started_at: time,
  ended_at: timeOrNull.meta({ description: 'Null while it runs.' }),
  account: z.string().meta({ examples: ['bot@acme.com'] }),
  smtp: smtpReply.nullable(),
  error: deliveryError.nullable(),
});

/** One accepted message and all that became of it. */
export const messageResource = z.object({
  id: z.string().meta({ examples: ['msg_01k7m4q2'] }),
  status: z.enum(STATUSES).meta({ description: 'Sent means that Gmail took it for every recipient, not that it was delivered or read.' }),
  message_id: z.string().meta({ description: 'The Message-ID header, to thread by.', examples: ['<msg_01k7m4q2@acme.com>'] }),
  from: address,
  to: z.array(address),
  cc: z.array(address),
  bcc: z.array(address),
  subject: z.string(),
  tags: z.record(z.string(), z.string()),
  metadata: z.record(z.string(), z.string()),
  created_at: time,
  scheduled_at: timeOrNull,
  next_attempt_at: timeOrNull,
  finished_at: timeOrNull,
  recipients: z.array(recipient),
  attempts: z.array(attempt),
  error: deliveryError.nullable().meta({ description: 'Why it failed, or why it waits.' }),
  possible_duplicate: z.boolean().meta({ description: 'An attempt ended without an answer and another followed.' }),
  durability: z
    .enum(['memory', 'disk', 'redis'])
    .meta({ description: 'What an accepted message survives: memory is lost in a crash or restart.' }),
});

/** What is only read may be passed on without a copy. */
export type Immutable<T> = { readonly [Key in keyof T]: Immutable<T[Key]> };

export type MessageResource = Immutable<z.output<typeof messageResource>>;

export const preview = z.object({
  dry_run: z.literal(true),
  envelope: z.object({ from: z.string(), to: z.array(z.string()) }),
  headers: z.array(z.object({ name: z.string(), value: z.string() })),
  size: z.int().meta({ description: 'Bytes of the encoded message.' }),
  message_id: z.string(),
});

export type PreviewResource = Immutable<z.output<typeof preview>>;

/** What POST /send answers when there is nothing to wait for any more. */
export const sendResult = z.union([messageResource, preview]);
