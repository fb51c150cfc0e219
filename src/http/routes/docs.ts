import swaggerUi from '@fastify/swagger-ui';
import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import { z } from 'zod';
import { answer, answers } from '../schemas/answers.ts';

/** Everything the page needs is served from under /docs, and what a caller tries goes to this service. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** GET /openapi.yaml, and GET /docs: a page to read and to try the API. */
export const docsRoutes: FastifyPluginAsyncZod = async (app) => {
  app.get(
    '/openapi.yaml',
    {
      schema: {
        operationId: 'getOpenApi',
        tags: ['docs'],
        summary: 'This document',
        security: [],
        response: answers({ 200: answer('OpenAPI 3.1.', z.string(), { type: 'application/yaml' }) }, ['invalid_json']),
      },
    },
    async (_request, reply) => reply.type('application/yaml').send(app.swagger({ yaml: true })),
  );

  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: CONTENT_SECURITY_POLICY,
    theme: { title: 'Outtray' },
    uiConfig: { layout: 'BaseLayout', deepLinking: true, tryItOutEnabled: true },
    // Trying it out must reach the service the page came from, under whatever name.
    transformSpecification: (document) => ({ ...document, servers: [{ url: '/' }] }),
    transformSpecificationClone: false,
  });
};
