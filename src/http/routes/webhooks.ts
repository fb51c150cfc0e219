import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { EndpointTests } from '../../core/webhooks/endpoint-tests.ts';
import type { WebhookDeliveries } from '../../core/webhooks/webhook-deliveries.ts';
import { toEndpointTestResource, toWebhookDeliveryResource } from '../presenters/webhook.ts';
import { callerOf } from '../request/request-context.ts';
import { BODY_CODES, keyedResponses, success } from '../schemas/responses.ts';
import {
  endpointTest,
  endpointTestRequest,
  webhookDelivery,
  webhookDeliveryList,
  webhookDeliveryParams,
  webhookDeliveryQuery,
} from '../schemas/webhook-delivery.ts';
import { toPage } from '../validation/pagination.ts';

export interface WebhookOptions {
  readonly endpointTests: EndpointTests;
  readonly webhookDeliveries: WebhookDeliveries;
  /** Returns epoch ms by the clock of the shared state. */
  readonly sharedNow: () => number;
}

/**
 * POST /webhooks/test: whether an endpoint accepts calls. GET /webhooks/deliveries and POST
 * /webhooks/deliveries/{id}/replay: calls that wait or were given up.
 */
export const webhookRoutes: FastifyPluginAsyncZod<WebhookOptions> = async (
  app,
  { endpointTests, webhookDeliveries, sharedNow },
) => {
  app.post(
    '/webhooks/test',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'testWebhook',
        tags: ['webhooks'],
        summary: 'Test a webhook endpoint',
        description: `Calls an endpoint once with an event of type \`webhook.test\`, signed as any other event,
and returns how the call ended. Only endpoints that are configured can be called. A key can do this five
times a minute.`,
        body: endpointTestRequest,
        response: keyedResponses({ 200: success('How the call ended.', endpointTest) }, [
          ...BODY_CODES,
          'validation_failed',
          'not_found',
        ]),
      },
    },
    async (request) => {
      const caller = callerOf(request);
      return toEndpointTestResource(await endpointTests.run(caller, request.body.url ?? null), caller);
    },
  );

  app.get(
    '/webhooks/deliveries',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listWebhookDeliveries',
        tags: ['webhooks'],
        summary: 'List webhook deliveries',
        description:
          'Events that wait for a call to an endpoint, and those that were given up. Newest first. A key sees those of its own messages to its `webhook_url`, an admin key all.',
        querystring: webhookDeliveryQuery,
        response: keyedResponses({ 200: success('A page of deliveries.', webhookDeliveryList) }, [
          'validation_failed',
        ]),
      },
    },
    async (request) => {
      const caller = callerOf(request);
      const { limit, status = null, message: about = null, cursor: after = null } = request.query;
      const found = await webhookDeliveries.list({ status, about, after, limit: limit + 1 }, caller);
      const { items, next_cursor } = toPage(found, limit, ({ position }) => [position]);
      const now = sharedNow();
      return {
        deliveries: items.map(({ notice }) => toWebhookDeliveryResource(notice, caller, now)),
        next_cursor,
      };
    },
  );

  app.post(
    '/webhooks/deliveries/:id/replay',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'replayWebhookDelivery',
        tags: ['webhooks'],
        summary: 'Replay a webhook delivery',
        description: `Calls the endpoint again for an event that was given up, with the same \`webhook-id\` and
a new day of retries. A delivery that waits for a retry is called now.`,
        params: webhookDeliveryParams,
        response: keyedResponses(
          { 202: success('The delivery, which waits for its call.', webhookDelivery) },
          [...BODY_CODES, 'not_found'],
        ),
      },
    },
    async (request, reply) => {
      const caller = callerOf(request);
      const notice = await webhookDeliveries.replay(request.params.id, caller);
      return reply.code(202).send(toWebhookDeliveryResource(notice, caller, sharedNow()));
    },
  );
};
