import { z } from 'zod';
import type { Status } from '../../core/delivery/delivery.ts';
import { FOLLOW_UP_KINDS, type FollowUpKind } from '../../core/delivery/follow-up.ts';
import { account } from './account.ts';
import { followUp, messageResource } from './message.ts';

const MESSAGE_EVENTS = [
  'message.deferred',
  'message.sent',
  'message.partially_sent',
  'message.failed',
  'message.uncertain',
  'message.canceled',
  'message.expired',
] as const satisfies `message.${Status}`[];

const FOLLOW_UP_EVENTS = FOLLOW_UP_KINDS.map(
  (kind) => `message.${kind}` as const satisfies `message.${FollowUpKind}`,
);

const timestamp = z.iso.datetime().meta({ description: 'When the event happened.' });

/** What the bodies of all webhooks about a message have. */
const aboutMessage = {
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
};

/** The body of a webhook about a new status of a message. */
export const messageEvent = z.object({
  type: z.enum(MESSAGE_EVENTS).meta({ description: 'The status that the message changed to.' }),
  ...aboutMessage,
});

/** The body of a webhook about mail that followed a message. */
export const followUpEvent = z.object({
  type: z.enum(FOLLOW_UP_EVENTS).meta({ description: 'What the mail is.' }),
  ...aboutMessage,
  follow_up: followUp,
});

/** The body of a webhook about an account. */
export const accountEvent = z.object({
  type: z.enum(['account.paused', 'account.resumed']),
  timestamp,
  data: account,
});
