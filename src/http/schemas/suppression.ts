import { z } from 'zod';
import { optional } from '../validation/leniency.ts';
import { nextCursor } from '../validation/pagination.ts';
import { optionalBody, strictObject } from '../validation/validation.ts';
import { smtpReply } from './message.ts';
import { line } from './text.ts';

const MAX_NOTE_LENGTH = 500;

/** An address that mail is not sent to, and why. */
export const suppression = z.object({
  email: z.string().meta({ examples: ['nobody@example.com'] }),
  reason: z
    .enum(['refused', 'manual'])
    .meta({ description: 'Refused: Gmail refused it for good. Manual: somebody entered it.' }),
  accounts: z
    .array(z.string())
    .nullable()
    .meta({
      description: 'The accounts that do not send to it; null: none does.',
      examples: [['bot@acme.com']],
    }),
  smtp: smtpReply.nullable().meta({ description: 'What Gmail said.' }),
  message: z
    .string()
    .nullable()
    .meta({ description: 'The id of the message that Gmail refused.', examples: ['msg_01k7m4q2'] }),
  note: z.string().nullable().meta({ description: 'What the person who entered it wrote.' }),
  created_at: z.iso.datetime(),
});

export const suppressionList = z.object({ suppressions: z.array(suppression), next_cursor: nextCursor });

/** A request without a body is one without a note. */
export const suppressionRequest = optionalBody(
  strictObject({ note: optional(line(MAX_NOTE_LENGTH)).meta({ description: 'Why, in one line.' }) }),
).meta({ examples: [{ note: 'Asked us to stop' }] });

export type SuppressionResource = z.output<typeof suppression>;
