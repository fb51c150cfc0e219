import { z } from 'zod';
import { errorCode, type Immutable, messageResource, smtpReply } from './message.ts';

export const fieldError = z.object({
  pointer: z.string().meta({
    description:
      'A JSON Pointer (RFC 6901) into the body; or `header:Name`, `query:name`, `path:name` or `part:name`.',
    examples: ['/to/0'],
  }),
  code: z.string().meta({ examples: ['invalid_address'] }),
  detail: z.string().meta({ description: 'What is wrong, and how to fix it.' }),
});

/** An error as in RFC 9457. The members from `code` on are extensions. */
export const problem = z.object({
  type: z.string().meta({ format: 'uri-reference', examples: ['/problems/validation_failed'] }),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.string().meta({ examples: ['/send'] }),
  code: errorCode,
  retryable: z.boolean().meta({ description: 'Whether the same request can succeed later.' }),
  request_id: z.string().meta({ description: 'The id of the request, which is also in the log.' }),
  errors: z.array(fieldError).meta({ description: 'Every invalid part of the request.' }),
  hint: z.string().meta({ description: 'How to fix the cause.' }),
  smtp: smtpReply.optional().meta({ description: 'The reply of the mail server.' }),
  message: messageResource.optional().meta({ description: 'The message that failed.' }),
});

export type Problem = Immutable<z.output<typeof problem>>;
