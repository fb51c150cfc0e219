import { z } from 'zod';
import { errorCode, type Immutable, messageResource, smtpReply } from './message.ts';

export const fieldError = z.object({
  pointer: z.string().meta({
    description: 'A JSON Pointer into the body; or header:Name, query:name or path:name.',
    examples: ['/to/0'],
  }),
  code: z.string().meta({ examples: ['invalid_address'] }),
  detail: z.string().meta({ description: 'What is wrong, and how to mend it.' }),
});

/** RFC 9457, with members of our own from `code` on. */
export const problem = z.object({
  type: z.string().meta({ format: 'uri-reference', examples: ['/problems/validation_failed'] }),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.string().meta({ examples: ['/send'] }),
  code: errorCode,
  retryable: z.boolean().meta({ description: 'Whether the same request may succeed later.' }),
  request_id: z.string().meta({ description: 'Names the request in the logs.' }),
  errors: z
    .array(fieldError)
    .meta({ description: 'Everything that is wrong with the request, part by part.' }),
  hint: z.string().meta({ description: 'What mends it.' }),
  smtp: smtpReply.optional().meta({ description: 'What the mail server said.' }),
  message: messageResource.optional().meta({ description: 'The message that failed.' }),
});

export type Problem = Immutable<z.output<typeof problem>>;
