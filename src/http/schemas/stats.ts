import { z } from 'zod';
import { COUNTED_HOURS, QUEUE_STATUSES } from '../../core/delivery/delivery-stats.ts';
import { account } from './account.ts';

const count = z.int().meta({ examples: [12] });

export const stats = z.object({
  queue: z.object({
    by_status: z.record(z.enum(QUEUE_STATUSES), z.int()).meta({
      description: 'The number of messages in the queue by status.',
      examples: [{ scheduled: 2, queued: 40, sending: 3, deferred: 1 }],
    }),
    oldest_due_at: z.iso.datetime().nullable().meta({
      description:
        'Since when the oldest message waits: the later of its `created_at` and `scheduled_at`. Null if no message waits.',
    }),
  }),
  last_24h: z.object({
    sent: count.meta({ description: 'Messages that settled as `sent` or `partially_sent`.' }),
    failed: count.meta({ description: 'Messages that settled as `failed`, `uncertain` or `expired`.' }),
    by_hour: z
      .array(z.object({ hour: z.iso.datetime(), sent: z.int(), failed: z.int() }))
      .length(COUNTED_HOURS)
      .meta({ description: 'The same by hour of UTC, oldest first. The last one is the current hour.' }),
  }),
  accounts: z.array(account),
});

export type StatsResource = z.output<typeof stats>;
