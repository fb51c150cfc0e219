import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import { AppError } from '../../core/errors.ts';
import { type Authenticate, identify } from '../plugins/auth.ts';
import type { Limits } from '../plugins/limits.ts';
import { pathOf } from '../problem.ts';

export interface UnknownOptions {
  readonly authenticate: Authenticate;
  readonly limits: Limits;
}

/** Requests that no route takes: 405 where another method would do, else 404. */
export const unknownRoutes: FastifyPluginAsync<UnknownOptions> = async (app, { authenticate, limits }) => {
  const refuse = async (request: FastifyRequest, reply: FastifyReply): Promise<never> => {
    if (identify(request, authenticate) === null) await limits.spend(request, reply);
    else await limits.strike(request);
    const path = pathOf(request);
    const methods = app.supportedMethods.filter((method) => app.findRoute({ method, url: path }) !== null);
    // A route that takes the method, but found nothing, sends its requests here as well.
    if (methods.length === 0 || methods.includes(request.method)) throw new AppError('not_found');
    reply.header('allow', methods.join(', '));
    throw new AppError('method_not_allowed');
  };

  // As a hook too, so that no body is read for nothing.
  app.addHook('onRequest', refuse);
  app.setNotFoundHandler(refuse);
};
