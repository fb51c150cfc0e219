import type { FastifyPluginAsyncZod } from '@fastify/type-provider-zod';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
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

  await app.register(docsPageRoutes);
};

/** The addresses of Swagger UI. */
const PAGE_ROUTES = [
  '/docs',
  '/docs/json',
  '/docs/yaml',
  '/docs/static/index.html',
  '/docs/static/swagger-initializer.js',
  '/docs/static/*',
];

/**
 * Serves Swagger UI from an app of its own, which is built at the first request: most processes
 * never need it.
 */
const docsPageRoutes: FastifyPluginAsyncZod = async (app) => {
  let page: Promise<FastifyInstance> | undefined;
  const openPage = async () => (await import('./docs-page.ts')).buildDocsPage(app.swagger());
  app.addHook('onClose', async () => (await page)?.close());
  app.addHook('onSend', async (_request, reply) => {
    reply.header('content-security-policy', CONTENT_SECURITY_POLICY);
  });

  for (const url of PAGE_ROUTES) {
    app.get(url, { schema: { hide: true } }, async (request, reply) => {
      const target = redirectToPage(request);
      if (target !== null) return reply.redirect(target);
      page ??= openPage();
      return forward(request, reply, await page);
    });
  }
};

/**
 * Returns the page as seen from two other addresses of Swagger UI: its index.html, and /docs with a
 * query, which breaks its links. The target is relative, because `//docs/static/index.html` would
 * otherwise lead to another host.
 */
function redirectToPage(request: FastifyRequest): string | null {
  const { url } = request.routeOptions;
  if (url === '/docs/static/index.html') return '../';
  if (url === '/docs' && request.url.includes('?')) return pathOf(request).endsWith('/') ? './' : 'docs';
  return null;
}

/** Responds as the app of the page does, without its 404. */
async function forward(
  request: FastifyRequest,
  reply: FastifyReply,
  page: FastifyInstance,
): Promise<FastifyReply> {
  const { statusCode, headers, rawPayload } = await page.inject({
    url: pathOnPage(request),
    headers: request.headers,
  });
  if (statusCode === 404) {
    reply.callNotFound();
    return reply;
  }
  const { connection, date, ...kept } = headers;
  return reply.code(statusCode).headers(kept).send(rawPayload);
}

function pathOnPage(request: FastifyRequest): string {
  const { url = '' } = request.routeOptions;
  const { '*': file } = request.params as { readonly '*'?: string };
  if (file !== undefined) return url.replace('*', encodeURIComponent(file));
  // The links of the page depend on the slash.
  return url === '/docs' && pathOf(request).endsWith('/') ? '/docs/' : url;
}
