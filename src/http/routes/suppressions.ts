import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import { AppError } from '../../core/errors.ts';
import { toMailboxKey } from '../../core/message/address.ts';
import type { Suppressions } from '../../core/suppressions.ts';
import { toSuppressionResource } from '../presenters/suppression.ts';
import { bareAddress } from '../schemas/mailbox.ts';
import { BODY_CODES, type DocumentedResponse, keyedResponses, success } from '../schemas/responses.ts';
import { suppression, suppressionList, suppressionRequest } from '../schemas/suppression.ts';
import { cursor, limit, toPage } from '../validation/pagination.ts';
import { strictObject } from '../validation/validation.ts';

export interface SuppressionOptions {
  readonly suppressions: Pick<Suppressions, 'get' | 'list' | 'add' | 'remove'>;
}

const PARAMS = z.object({ email: bareAddress });
/** Has an example, since PUT works with any address. */
const PUT_PARAMS = z.object({ email: bareAddress.meta({ examples: ['nobody@example.com'] }) });

const REMOVED: DocumentedResponse = {
  description: 'The address is no longer suppressed.',
  headers: {},
  content: {},
};

/**
 * GET /suppressions; GET, PUT and DELETE /suppressions/{email}: addresses that mail is not sent to.
 */
export const suppressionRoutes: FastifyPluginAsyncZod<SuppressionOptions> = async (app, { suppressions }) => {
  app.get(
    '/suppressions',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listSuppressions',
        tags: ['suppressions'],
        summary: 'List suppressions',
        description:
          'Addresses that Gmail refused permanently, that bounced because they do not exist, or that were added here. Ordered by address.',
        querystring: strictObject({
          limit,
          cursor: cursor(([key, ...rest]) => (rest.length === 0 && key !== undefined ? key : null)),
        }),
        response: keyedResponses({ 200: success('A page of suppressions.', suppressionList) }, [
          'validation_failed',
        ]),
      },
    },
    async ({ query }) => {
      const found = await suppressions.list({ limit: query.limit + 1, after: query.cursor ?? null });
      const { items, next_cursor } = toPage(found, query.limit, (last) => [toMailboxKey(last.email)]);
      return { suppressions: items.map(toSuppressionResource), next_cursor };
    },
  );

  app.get(
    '/suppressions/:email',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getSuppression',
        tags: ['suppressions'],
        summary: 'Get a suppression',
        description: 'Returns whether an address is suppressed, and the reason.',
        params: PARAMS,
        response: keyedResponses({ 200: success('The suppression of the address.', suppression) }, [
          'validation_failed',
          'not_found',
        ]),
      },
    },
    async ({ params }) => {
      const found = await suppressions.get(params.email);
      if (found === null) throw notSuppressed(params.email);
      return toSuppressionResource(found);
    },
  );

  app.put(
    '/suppressions/:email',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'putSuppression',
        tags: ['suppressions'],
        summary: 'Suppress an address',
        description: `New mail to the address is refused for every account until the suppression is removed.
Messages that were already accepted are still sent. Replaces an existing suppression of the address, with
the same response. The body is optional.`,
        params: PUT_PARAMS,
        body: suppressionRequest,
        response: keyedResponses({ 200: success('The suppression of the address.', suppression) }, [
          'validation_failed',
          ...BODY_CODES,
        ]),
      },
    },
    async ({ params, body }) =>
      toSuppressionResource(await suppressions.add(params.email, body.note ?? null)),
  );

  app.delete(
    '/suppressions/:email',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'deleteSuppression',
        tags: ['suppressions'],
        summary: 'Remove a suppression',
        description:
          'Allows mail to the address again, for every account. If the address is refused or bounces again, it is suppressed again.',
        params: PARAMS,
        response: keyedResponses({ 204: REMOVED }, ['validation_failed', ...BODY_CODES, 'not_found']),
      },
    },
    async ({ params }, reply) => {
      if (!(await suppressions.remove(params.email))) throw notSuppressed(params.email);
      return reply.code(204).send();
    },
  );
};

function notSuppressed(address: string): AppError {
  return new AppError('not_found', { detail: `Mail to ${address} is not suppressed.` });
}
