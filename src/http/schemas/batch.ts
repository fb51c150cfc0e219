import { z } from 'zod';
import { strictObject } from '../validation/validation.ts';
import { droppedMessage, type Immutable, messageResource, preview } from './message.ts';
import { problem } from './problem.ts';
import { SEND_EXAMPLE } from './send.ts';

const MAX_MESSAGES = 100;

/** One message of a batch. It is validated by itself, so that one that is wrong does not stop the others: to the batch it may be anything. */
export const batchItem = z.unknown();

export const batchRequest = strictObject({
  messages: z.array(batchItem).min(1).max(MAX_MESSAGES),
}).meta({ examples: [{ messages: [SEND_EXAMPLE] }] });

export const batchResult = z.object({
  status: z
    .int()
    .meta({ description: 'What POST /send would have answered: 202 if it is accepted.', examples: [202] }),
  message: z
    .union([messageResource, droppedMessage])
    .optional()
    .meta({ description: 'The message, if it is accepted.' }),
  preview: preview.optional().meta({ description: 'What would be sent, if it is a dry run.' }),
  error: problem
    .optional()
    .meta({ description: 'Why it is refused; pointers are into the body of the batch.' }),
});

export const batchAnswer = z.object({
  accepted: z.int(),
  refused: z.int(),
  results: z.array(batchResult).meta({ description: 'In the order of the messages.' }),
});

export type BatchResult = Immutable<z.output<typeof batchResult>>;
