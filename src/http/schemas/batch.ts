import { z } from 'zod';
import { strictObject } from '../validation/validation.ts';
import { droppedMessage, type Immutable, messageResource, preview } from './message.ts';
import { problem } from './problem.ts';

const MAX_MESSAGES = 100;

/**
 * One message of a batch. The schema allows anything: each message is validated separately, so that
 * an invalid one does not affect the rest.
 */
export const batchItem = z.unknown();

/**
 * The schema allows anything: the defaults become part of each message before it is validated, and
 * their attachments are decoded once.
 */
export const batchDefaults = z.unknown().meta({
  description:
    'Fields of every message. A field of a message replaces the default as a whole; `null` removes it.',
});

export const batchRequest = strictObject({
  defaults: batchDefaults.optional(),
  messages: z.array(batchItem).min(1).max(MAX_MESSAGES),
});

export const batchResult = z.object({
  status: z.int().meta({
    description: 'The status that POST /send would return: 202 if the message was accepted.',
    examples: [202],
  }),
  message: z
    .union([messageResource, droppedMessage])
    .optional()
    .meta({ description: 'The message, if it was accepted.' }),
  preview: preview.optional().meta({ description: 'What would be sent, for a dry run.' }),
  error: problem.optional().meta({
    description:
      'Why the message was refused. Pointers refer to the body of the batch; those into `/defaults` name a default at fault.',
  }),
});

export const batchAnswer = z.object({
  accepted: z.int().meta({ description: 'The number of accepted messages.' }),
  refused: z.int().meta({ description: 'The number of refused messages.' }),
  results: z.array(batchResult).meta({ description: 'One result for each message, in the same order.' }),
});

export type BatchResult = Immutable<z.output<typeof batchResult>>;
