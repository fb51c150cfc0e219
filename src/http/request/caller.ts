import type { FastifyRequest } from 'fastify';
import type { Caller } from '../../core/auth/caller.ts';

/** Who made a request on a route that needs a key. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new Error(`${request.routeOptions.url} has no authentication`);
  return request.caller;
}
