import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../../core/errors.ts';
import { findNearestRoute, type KnownRoute } from '../errors/nearest-route.ts';
import { pathOf } from '../errors/problem.ts';
import { type Authenticate, identify } from '../request/auth.ts';
import type { RateLimits } from '../request/rate-limit.ts';
import { quote } from '../validation/quote.ts';

export interface UnknownOptions {
  readonly authenticate: Authenticate;
  readonly limits: RateLimits;
  /** The documented routes, complete once the app is ready. */
  readonly routes: readonly KnownRoute[];
}

/** Requests that no route takes: 405 where another method would do, else 404. Both name the nearest route. */
export const unknownRoutes: FastifyPluginAsync<UnknownOptions> = async (
  app,
  { authenticate, limits, routes },
) => {
  const refuse = async (request: FastifyRequest, reply: FastifyReply): Promise<never> => {
    if (identify(request, authenticate) === null) await limits.spend(request, reply);
    else await limits.strike(request);
    const path = pathOf(request);
    const methods = app.supportedMethods.filter((method) => app.findRoute({ method, url: path }) !== null);
    // A route that takes the method, but found nothing, sends its requests here as well.
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

  // As a hook too, so that no body is read for nothing.
  app.addHook('onRequest', refuse);
  app.setNotFoundHandler(refuse);
};

/** Collects the routes that are registered after it, by path: those of the OpenAPI document, and `/docs`, which shows it. */
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
