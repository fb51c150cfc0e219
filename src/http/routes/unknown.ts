import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../../core/errors.ts';
import { pathOf } from '../errors/error-handler.ts';
import { findNearestRoute, type KnownRoute } from '../errors/nearest-route.ts';
import { type Authenticate, identify } from '../request/auth.ts';
import type { RateLimits } from '../request/rate-limit.ts';
import { quote } from '../validation/validation.ts';

export interface UnknownOptions {
  readonly authenticate: Authenticate;
  readonly limits: RateLimits;
  /** The documented routes. Complete once the app is ready. */
  readonly routes: readonly KnownRoute[];
}

/**
 * Responds to requests without a route: 405 if the path has other methods, else 404. Both suggest
 * the nearest route.
 */
export const unknownRoutes: FastifyPluginAsync<UnknownOptions> = async (
  app,
  { authenticate, limits, routes },
) => {
  const refuse = async (request: FastifyRequest, reply: FastifyReply): Promise<never> => {
    if (identify(request, authenticate) === null) await limits.spend(request, reply);
    else await limits.countFailure(request);
    const path = pathOf(request);
    const methods = app.supportedMethods.filter((method) => app.findRoute({ method, url: path }) !== null);
    // Routes also delegate here if they find nothing for a request that they match.
    if (methods.includes(request.method)) throw new AppError('not_found');
    const nearest = findNearestRoute(request.method, path, routes);
    const advice = nearest === null ? '' : ` Did you mean ${nearest}?`;
    if (methods.length === 0)
      throw new AppError('not_found', {
        detail: `No route matches ${request.method} ${quote(path)}.${advice}`,
      });
    reply.header('allow', methods.join(', '));
    throw new AppError('method_not_allowed', {
      detail: `${quote(path)} does not accept ${request.method}.${advice}`,
    });
  };

  // Also as a hook, so that no body is read for nothing.
  app.addHook('onRequest', refuse);
  app.setNotFoundHandler(refuse);
};

/**
 * Collects the routes that are registered afterwards, by path: those of the OpenAPI document, and
 * `/docs`.
 */
export function collectRoutes(app: FastifyInstance): readonly KnownRoute[] {
  const routes: { readonly path: string; readonly methods: string[] }[] = [];
  app.addHook('onRoute', ({ url, method, schema }) => {
    if (schema?.hide && url !== '/docs') return;
    const path = url.replace(/:(\w+)/g, '{$1}');
    const methods = [method].flat();
    const route = routes.find((known) => known.path === path);
    if (route) route.methods.push(...methods);
    else routes.push({ path, methods });
  });
  return routes;
}
