import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import type { Tickets } from '../../core/auth/tickets.ts';
import { toJob } from '../../core/delivery/outcome.ts';
import type { Messages } from '../../core/messages.ts';
import type { Composer } from '../../core/ports/composer.ts';
import { toIso } from '../../core/time.ts';
import { sendInPieces } from '../json-pieces.ts';
import { sendMailView } from '../mail-view.ts';
import { toContentPage, toContentResource } from '../presenters/content.ts';
import { callerOf, messageIdOf } from '../request/request-context.ts';
import { contentTicket, messageContent } from '../schemas/content.ts';
import { messageParams } from '../schemas/message.ts';
import { BODY_CODES, keyedResponses, publicResponses, success } from '../schemas/responses.ts';

export interface ContentOptions {
  readonly messages: Pick<Messages, 'content'>;
  readonly composer: Pick<Composer, 'compose'>;
  readonly tickets: Tickets;
}

/** What a ticket for the content of a message is for. */
const subjectOf = (id: string) => `content of ${id}`;

/** GET /messages/{id}/content, and tickets for a page that shows it. */
export const contentRoutes: FastifyPluginAsyncZod<ContentOptions> = async (
  app,
  { messages, composer, tickets },
) => {
  app.get(
    '/messages/:id/content',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getMessageContent',
        tags: ['messages'],
        summary: 'Get the content of a message',
        description: `Content is stored until the message is settled, then for RETAIN if the message can be
retried, and otherwise for RETAIN_CONTENT.`,
        params: messageParams,
        response: keyedResponses({ 200: success('The content.', messageContent) }, [
          'message_not_found',
          'content_not_kept',
        ]),
      },
    },
    async (request, reply) => {
      const found = await messages.content(messageIdOf(request), callerOf(request));
      const { delivery, content } = found;
      const composed = await composer.compose(toJob(delivery, content, []));
      return sendInPieces(toContentResource(found, composed), reply);
    },
  );

  app.post(
    '/messages/:id/content/ticket',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'createContentTicket',
        tags: ['messages'],
        summary: 'Get a URL of the content',
        description: `Returns a URL that shows the content as a page for one minute, without an API key: in a
frame, which cannot send one. The URL ends with the API key that requested it.`,
        params: messageParams,
        response: keyedResponses({ 200: success('The URL.', contentTicket) }, [
          ...BODY_CODES,
          'message_not_found',
          'content_not_kept',
        ]),
      },
    },
    async (request) => {
      const { delivery } = await messages.content(messageIdOf(request), callerOf(request));
      const { ticket, expiresAt } = tickets.issue(subjectOf(delivery.id), callerOf(request));
      const query = new URLSearchParams({ ticket });
      return { url: `messages/${delivery.id}/content/view?${query}`, expires_at: toIso(expiresAt) };
    },
  );
};

/** GET /messages/{id}/content/view: the content as a page, for a ticket instead of an API key. */
export const contentViewRoutes: FastifyPluginAsyncZod<ContentOptions> = async (
  app,
  { messages, tickets },
) => {
  app.get(
    '/messages/:id/content/view',
    {
      schema: {
        operationId: 'viewMessageContent',
        tags: ['messages'],
        summary: 'View the content of a message',
        description: `Shows the html of the message, or its text. Scripts do not run, and nothing is loaded from
other hosts.`,
        security: [],
        params: messageParams,
        querystring: z.object({
          ticket: z.string().meta({ description: 'From POST /messages/{id}/content/ticket.' }),
        }),
        response: publicResponses({ 200: success('The page.', z.string(), { type: 'text/html' }) }, [
          'invalid_json',
          'invalid_ticket',
          'message_not_found',
          'content_not_kept',
          'validation_failed',
          'internal_error',
          'queue_unavailable',
        ]),
      },
    },
    async (request, reply) => {
      const id = messageIdOf(request);
      const { caller } = tickets.verify(subjectOf(id), request.query.ticket);
      return sendMailView(toContentPage(await messages.content(id, caller)), reply);
    },
  );
};
