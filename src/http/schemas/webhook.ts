import { z } from 'zod';
import type { Status } from '../../core/delivery/delivery.ts';
import { account } from './account.ts';
import { messageResource } from './message.ts';

const MESSAGE_EVENTS = [
  'message.deferred',
  'message.sent',
  'message.partially_sent',
  'message.failed',
  'message.uncertain',
  'message.canceled',
  'message.expired',
] as const satisfies `message.${Status}`[];

const timestamp = z.iso.datetime().meta({ description: 'When the event happened.' });

/** The body of a webhook about a message. */
export const messageEvent = z.object({
  type: z.enum(MESSAGE_EVENTS).meta({ description: 'The status that the message changed to.' }),
  timestamp,
  sequence: z.int().meta({
    description:
      'Increases with each event of a message. Of two events of a message the one with the higher sequence is the later.',
  }),
  trace_id: z
    .string()
    .regex(/^[0-9a-f]{32}$/)
    .optional()
    .meta({
      description: 'The trace of the request that sent the message. Absent if it had none.',
      examples: ['4bf92f3577b34da6a3ce929d0e0e4736'],
    }),
  data: messageResource,
});

/** The body of a webhook about an account. */
export const accountEvent = z.object({
  type: z.enum(['account.paused', 'account.resumed']),
  timestamp,
  data: account,
});
