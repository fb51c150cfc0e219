import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import { AppError } from '../../core/errors.ts';
import type { DeliveryStore } from '../../core/ports/delivery-store.ts';
import { publicResponses, success } from '../schemas/responses.ts';

export interface HealthOptions {
  readonly store: Pick<DeliveryStore, 'refusalCode' | 'healthProblem'>;
  readonly isDraining: () => boolean;
}

/**
 * GET /livez, /readyz. Neither checks whether Gmail is reachable, because a restart would not fix
 * that.
 */
export const healthRoutes: FastifyPluginAsyncZod<HealthOptions> = async (app, { store, isDraining }) => {
  app.get(
    '/livez',
    {
      schema: {
        operationId: 'livez',
        tags: ['health'],
        summary: 'Check liveness',
        description: 'Succeeds while the process handles requests.',
        security: [],
        response: publicResponses(
          { 200: success('The process is alive.', z.object({ status: z.literal('alive') })) },
          ['invalid_json'],
        ),
      },
    },
    async () => ({ status: 'alive' as const }),
  );

  app.get(
    '/readyz',
    {
      schema: {
        operationId: 'readyz',
        tags: ['health'],
        summary: 'Check readiness',
        description:
          'Succeeds while the service accepts messages. It does not depend on Gmail, since accepted mail waits.',
        security: [],
        response: publicResponses(
          { 200: success('The service accepts messages.', z.object({ status: z.literal('ready') })) },
          ['invalid_json', 'queue_full', 'queue_unavailable', 'shutting_down'],
        ),
      },
    },
    async () => {
      if (isDraining()) throw new AppError('shutting_down');
      const detail = store.healthProblem?.();
      const refusal = store.refusalCode();
      if (refusal !== null) throw new AppError(refusal, detail ? { detail } : {});
      return { status: 'ready' as const };
    },
  );
};
