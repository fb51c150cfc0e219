import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import { AppError } from '../../core/errors.ts';
import { toMailboxKey } from '../../core/message/address.ts';
import type { Suppressions } from '../../core/suppressions.ts';
import { toSuppressionResource } from '../presenters/suppression.ts';
import { bareAddress } from '../schemas/mailbox.ts';
import { type Answer, answer, answersToKey, BODY_CODES } from '../schemas/responses.ts';
import { suppression, suppressionList, suppressionRequest } from '../schemas/suppression.ts';
import { cursor, limit, toPage } from '../validation/pagination.ts';
import { strictObject } from '../validation/validation.ts';

export interface SuppressionOptions {
  readonly suppressions: Pick<Suppressions, 'get' | 'list' | 'add' | 'remove'>;
}

const PARAMS = z.object({ email: bareAddress });
/** With an example: unlike the other methods, PUT needs no existing address. */
const PUT_PARAMS = z.object({ email: bareAddress.meta({ examples: ['nobody@example.com'] }) });

const REMOVED: Answer = { description: 'It is sent to again.', headers: {}, content: {} };

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
        summary: 'See which addresses are not sent to',
        description: 'Those that Gmail refused for good, and those that somebody entered; by address.',
        querystring: strictObject({
          limit,
          cursor: cursor(([key, ...rest]) => (rest.length === 0 && key !== undefined ? key : null)),
        }),
        response: answersToKey({ 200: answer('A page of them.', suppressionList) }, ['validation_failed']),
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
        summary: 'See whether and why an address is not sent to',
        params: PARAMS,
        response: answersToKey({ 200: answer('Why, and since when.', suppression) }, [
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
        summary: 'Send no more to an address',
        description: `New mail to it is refused, from every account, until it is removed; what is accepted already still goes out.
It takes the place of what there is for the address, and is answered alike whether there was anything. The body may be left out.`,
        params: PUT_PARAMS,
        body: suppressionRequest,
        response: answersToKey({ 200: answer('It is not sent to any more.', suppression) }, [
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
        summary: 'Send to an address again',
        description: 'From every account. If Gmail refuses it once more, it is remembered once more.',
        params: PARAMS,
        response: answersToKey({ 204: REMOVED }, ['validation_failed', ...BODY_CODES, 'not_found']),
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
