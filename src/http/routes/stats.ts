import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { Accounts } from '../../core/accounts/accounts.ts';
import type { Stats } from '../../core/stats.ts';
import { toStatsResource } from '../presenters/stats.ts';
import { callerOf } from '../request/request-context.ts';
import { keyedResponses, success } from '../schemas/responses.ts';
import { stats as statsSchema } from '../schemas/stats.ts';

export interface StatsOptions {
  readonly stats: Stats;
  readonly accounts: Pick<Accounts, 'list'>;
}

/** GET /stats: the queue, the last 24 hours and the accounts in one response. */
export const statsRoutes: FastifyPluginAsyncZod<StatsOptions> = async (app, { stats, accounts }) => {
  app.get(
    '/stats',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getStats',
        tags: ['messages'],
        summary: 'Get statistics',
        description: `Counts the messages that the key sent, or all messages for an admin key, test messages
included. A message that was retried counts once for each time it settled. Messages that RETAIN has removed
still count.`,
        response: keyedResponses({ 200: success('The numbers now.', statsSchema) }),
      },
    },
    async (request) => {
      const overview = await stats.read(callerOf(request));
      return toStatsResource(overview, await accounts.list());
    },
  );
};
