import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { ERROR_CODES, type ErrorCode } from '../../core/errors.ts';
import { pathOf } from '../errors/error-handler.ts';
import { publicResponses, success } from '../schemas/responses.ts';
import { type ErrorExample, PROBLEMS_CSP, renderIndex, renderProblem } from './problem-pages.ts';

export interface ProblemOptions {
  /** Returns the documented example of an error. Called after every route is registered. */
  readonly exampleOf: (code: ErrorCode) => ErrorExample;
}

/**
 * GET /problems: every error code. GET /problems/{code}: the page that the `type` of a problem links
 * to.
 */
export const problemRoutes: FastifyPluginAsyncZod<ProblemOptions> = async (app, { exampleOf }) => {
  app.get(
    '/problems',
    {
      schema: {
        operationId: 'listProblems',
        tags: ['docs'],
        summary: 'List the error codes',
        description: 'A page with every error code, and who must act.',
        security: [],
        response: publicResponses(
          { 200: success('An HTML page with links to each code.', z.string(), { type: 'text/html' }) },
          ['invalid_json'],
        ),
      },
    },
    // A trailing slash would change what the relative links mean.
    async (request, reply) =>
      hasTrailingSlash(request) ? reply.redirect('../problems') : sendPage(reply, renderIndex()),
  );

  app.get(
    '/problems/:code',
    {
      schema: {
        operationId: 'explainProblem',
        tags: ['docs'],
        summary: 'Explain an error code',
        description: 'The page that the `type` of a problem refers to.',
        security: [],
        params: z.object({
          code: z.string().meta({ description: 'An error code.', examples: ['validation_failed'] }),
        }),
        response: publicResponses(
          {
            200: success('An HTML page about the error.', z.string(), { type: 'text/html' }),
          },
          ['invalid_json', 'not_found', 'rate_limited'],
        ),
      },
    },
    async (request, reply) => {
      const code = ERROR_CODES.find((known) => known === request.params.code);
      if (code === undefined) return reply.callNotFound();
      if (hasTrailingSlash(request)) return reply.redirect(`../${code}`);
      return sendPage(reply, renderProblem(code, exampleOf(code)));
    },
  );
};

function hasTrailingSlash(request: FastifyRequest): boolean {
  return pathOf(request).endsWith('/');
}

function sendPage(reply: FastifyReply, page: string): FastifyReply {
  return reply.header('content-security-policy', PROBLEMS_CSP).type('text/html; charset=utf-8').send(page);
}
