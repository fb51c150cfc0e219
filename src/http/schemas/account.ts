import { z } from 'zod';
import { errorCode, smtpReply } from './message.ts';

const timeOrNull = z.iso.datetime().nullable();

const budget = z.object({
  limit: z.int().meta({ description: 'What the configuration allows in 24 hours.', examples: [2000] }),
  learned: z.int().nullable().meta({ description: 'What Gmail has shown to be the limit, if that is less.' }),
  used: z.int().meta({
    description: 'What Gmail accepted in the last 24 hours, as far as it was counted.',
    examples: [12],
  }),
  left: z.int().meta({ examples: [1988] }),
});

/** A sending account, and how it is. */
export const account = z.object({
  user: z.string().meta({ examples: ['bot@acme.com'] }),
  status: z.enum(['ready', 'paused']).meta({
    description: 'Paused: mail is accepted and waits; it goes out by itself when the cause is gone.',
  }),
  code: errorCode.nullable().meta({ description: 'Why it is paused.', examples: ['bad_credentials'] }),
  detail: z.string().nullable(),
  hint: z.string().nullable().meta({ description: 'What mends it.' }),
  smtp: smtpReply.nullable(),
  since: timeOrNull.meta({ description: 'When the pause began.' }),
  until: timeOrNull.meta({
    description: 'When it is tried again; once that has passed, the next message tries it.',
  }),
  quota: z.object({
    messages: budget,
    recipients: budget,
    reserve: z
      .number()
      .meta({ description: 'The part of each that only priority high may use.', examples: [0.1] }),
    counted_since: z.iso.datetime().meta({ description: 'What was sent before is not counted.' }),
    frees_at: timeOrNull.meta({ description: 'When the oldest of what is used leaves the window.' }),
  }),
  connections: z.object({
    max: z.int().meta({ description: 'SMTP_CONNECTIONS.', examples: [3] }),
    allowed: z.int().meta({
      description: 'How many may be busy at once now: fewer after Gmail asked to slow down.',
      examples: [3],
    }),
    busy: z.int(),
  }),
});

export const accountList = z.object({ accounts: z.array(account) });

export type AccountResource = z.output<typeof account>;
