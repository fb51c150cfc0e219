import swagger, { type StaticDocumentSpec } from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { type FastifyInstance, fastify } from 'fastify';

/** Swagger UI shows it only in a layout that is not used. Without one, it reads its own from a file. */
const NO_LOGO = { type: 'image/svg+xml', content: '' };

/** Builds an app that never listens: Swagger UI for an OpenAPI document, at /docs. */
export async function buildDocsPage(openApi: object): Promise<FastifyInstance> {
  const app = fastify();
  // Relative to /docs/json, so that requests from the page reach this service under any host name
  // and prefix.
  const document = { ...openApi, servers: [{ url: '../', description: 'This service' }] };
  await app.register(swagger, { mode: 'static', specification: { document } as StaticDocumentSpec });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    // Relative to the page, like all its links: a proxy may have stripped a prefix from the path.
    indexPrefix: '.',
    logo: NO_LOGO,
    theme: { title: 'Outtray' },
    uiConfig: { layout: 'BaseLayout', deepLinking: true, tryItOutEnabled: true },
  });
  await app.ready();
  return app;
}
