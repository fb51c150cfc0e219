import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import { AppError } from '../../core/errors.ts';
import type { DeliveryStore } from '../../core/ports/delivery-store.ts';
import { answer, answers } from '../schemas/responses.ts';

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
        summary: 'Is the process alive?',
        security: [],
        response: answers({ 200: answer('It is.', z.object({ status: z.literal('alive') })) }, [
          'invalid_json',
        ]),
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
        summary: 'Does it take messages now?',
        description: 'Says nothing of whether Gmail can be reached: what is accepted waits.',
        security: [],
        response: answers({ 200: answer('It does.', z.object({ status: z.literal('ready') })) }, [
          'invalid_json',
          'queue_full',
          'queue_unavailable',
          'shutting_down',
        ]),
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
