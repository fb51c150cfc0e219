import { z } from 'zod';
import { SUPPRESSION_REASONS } from '../../core/ports/suppression-store.ts';
import { optional } from '../validation/leniency.ts';
import { nextCursor } from '../validation/pagination.ts';
import { optionalBody, strictObject } from '../validation/validation.ts';
import { smtpReply } from './message.ts';
import { line } from './text.ts';

const MAX_NOTE_LENGTH = 500;

/** An address that mail is not sent to, and the reason. */
export const suppression = z.object({
  email: z.string().meta({ examples: ['nobody@example.com'] }),
  reason: z.enum(SUPPRESSION_REASONS).meta({
    description:
      '`refused`: Gmail refused the address permanently. `bounce`: according to a report, the address does not exist. `manual`: added by PUT /suppressions/{email}.',
  }),
  accounts: z
    .array(z.string())
    .nullable()
    .meta({
      description: 'The accounts that do not send to the address. Null means all accounts.',
      examples: [['bot@acme.com']],
    }),
  smtp: smtpReply
    .nullable()
    .meta({ description: 'The reply of Gmail, or that of the receiving server if it bounced.' }),
  message: z
    .string()
    .nullable()
    .meta({ description: 'The id of the message that was refused or bounced.', examples: ['msg_01k7m4q2'] }),
  note: z.string().nullable().meta({ description: 'The note of the request that added it.' }),
  created_at: z.iso.datetime(),
});

export const suppressionList = z.object({ suppressions: z.array(suppression), next_cursor: nextCursor });

/** The body is optional, as is the note. */
export const suppressionRequest = optionalBody(
  strictObject({ note: optional(line(MAX_NOTE_LENGTH)).meta({ description: 'The reason, in one line.' }) }),
);

export type SuppressionResource = z.output<typeof suppression>;
