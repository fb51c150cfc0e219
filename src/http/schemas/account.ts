import { z } from 'zod';
import { errorCode, smtpReply } from './message.ts';

const timeOrNull = z.iso.datetime().nullable();

export const quotaUsage = z.object({
  limit: z.int().meta({ description: 'The configured limit for 24 hours.', examples: [2000] }),
  learned: z.int().nullable().meta({ description: 'A lower limit that Gmail has enforced.' }),
  used: z.int().meta({
    description: 'Accepted by Gmail in the last 24 hours, since `counted_since`.',
    examples: [12],
  }),
  left: z.int().meta({ description: 'What remains.', examples: [1988] }),
});

/** A sending account and its state. */
export const account = z.object({
  user: z.string().meta({ examples: ['bot@acme.com'] }),
  status: z.enum(['ready', 'paused']).meta({
    description:
      'Mail for a paused account is accepted and waits. It is sent automatically once the cause is fixed.',
  }),
  code: errorCode
    .nullable()
    .meta({ description: 'Why the account is paused.', examples: ['bad_credentials'] }),
  detail: z.string().nullable(),
  hint: z.string().nullable().meta({ description: 'How to fix the cause.' }),
  smtp: smtpReply.nullable(),
  since: timeOrNull.meta({ description: 'When the pause started.' }),
  until: timeOrNull.meta({
    description: 'The earliest time of the next attempt. After it, the next message is sent as a probe.',
  }),
  quota: z.object({
    messages: quotaUsage,
    recipients: quotaUsage,
    reserve: z.number().meta({
      description: 'The share of each quota that only high-priority mail can use.',
      examples: [0.1],
    }),
    counted_since: z.iso.datetime().meta({ description: 'Mail sent before this time is not counted.' }),
    frees_at: timeOrNull.meta({ description: 'When the oldest counted mail leaves the 24-hour window.' }),
  }),
  connections: z.object({
    max: z.int().meta({ description: 'The value of SMTP_CONNECTIONS.', examples: [3] }),
    allowed: z.int().meta({
      description:
        'The number of connections that can currently be in use. Lower than `max` after Gmail asked to slow down.',
      examples: [3],
    }),
    busy: z.int().meta({ description: 'The number of connections in use.' }),
  }),
  mailbox: z
    .object({
      status: z.enum(['ready', 'off', 'refused']).meta({
        description: '`refused`: the last login was refused. `off`: nothing is read from the mailbox.',
      }),
      code: errorCode.nullable().meta({
        description:
          'Why it is refused. With `ready`, why the last look failed, such as `imap_unavailable`. With `off`: `no_mailbox` if the account has none that can be read, null if RECONCILE and INBOUND are off.',
        examples: [null],
      }),
    })
    .meta({ description: 'The mailbox of the account, which is read by IMAP. It never pauses sending.' }),
});

export const accountList = z.object({ accounts: z.array(account) });

export type AccountResource = z.output<typeof account>;
