import swaggerUi from '@fastify/swagger-ui';
import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { onRequestHookHandler } from 'fastify';
import { z } from 'zod';
import { pathOf } from '../errors/error-handler.ts';
import { publicResponses, success } from '../schemas/responses.ts';

/** The page loads everything from /docs, and sends requests only to this service. */
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

export interface DocsOptions {
  readonly toYaml: (document: object) => Promise<string>;
}

/** GET /openapi.yaml, and GET /docs: a page to read and try the API. */
export const docsRoutes: FastifyPluginAsyncZod<DocsOptions> = async (app, { toYaml }) => {
  /** Formatted once, at the first request: every route is registered by then. */
  let yaml: string | undefined;

  app.get(
    '/openapi.yaml',
    {
      schema: {
        operationId: 'getOpenApi',
        tags: ['docs'],
        summary: 'Get the OpenAPI document',
        description: 'The description of this API. `/docs` shows it as a page.',
        security: [],
        response: publicResponses(
          { 200: success('The document, in OpenAPI 3.1.', z.string(), { type: 'application/yaml' }) },
          ['invalid_json'],
        ),
      },
    },
    async (_request, reply) => {
      yaml ??= await toYaml(app.swagger());
      return reply.type('application/yaml').send(yaml);
    },
  );

  await app.register(swaggerUi, {
    routePrefix: '/docs',
    // Relative to the page, like all its links: a proxy may have stripped a prefix from the path.
    indexPrefix: '.',
    staticCSP: CONTENT_SECURITY_POLICY,
    theme: { title: 'Outtray' },
    uiConfig: { layout: 'BaseLayout', deepLinking: true, tryItOutEnabled: true },
    uiHooks: { onRequest: redirectToPage },
    // Relative to /docs/json, so that requests from the page reach this service under any host name
    // and prefix.
    transformSpecification: (document) => ({
      ...document,
      servers: [{ url: '../', description: 'This service' }],
    }),
    transformSpecificationClone: false,
  });
};

/**
 * Redirects to the page from two other addresses of Swagger UI: its index.html, and /docs with a
 * query, which breaks its links. The target is relative, because `//docs/static/index.html` would
 * otherwise lead to another host.
 */
const redirectToPage: onRequestHookHandler = (request, reply, done) => {
  if (request.routeOptions.url === '/docs/static/index.html') return reply.redirect('../');
  if (request.routeOptions.url === '/docs' && request.url.includes('?'))
    return reply.redirect(pathOf(request).endsWith('/') ? './' : 'docs');
  done();
};
