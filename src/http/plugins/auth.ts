import { hash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest, onRequestAsyncHookHandler, onRouteHookHandler, RouteOptions } from 'fastify';
import { type ApiKey, type Caller, hasScope, type Scope } from '../../core/caller.ts';
import { AppError } from '../../core/errors.ts';
import { callerOf } from '../caller.ts';
import type { Limits } from './limits.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key must be allowed to call this route. */
    scope?: Scope;
  }
}

/** Tells who a request is from. */
export type Authenticate = (authorization: string | undefined) => Caller;

/**
 * Checks bearer secrets against the keys. The time it takes tells nothing: digests are compared in constant time, and always all of them.
 *
 * The function it makes throws AppError `missing_api_key`, and `invalid_api_key` whatever is wrong with the key.
 *
 * @param keys gives those that hold now
 */
export function createAuthenticator(keys: () => readonly ApiKey[]): Authenticate {
  // One buffer for all: a new one for each request would cost several times what the hash does.
  const digest = Buffer.alloc(32);

  return (authorization) => {
    if (authorization === undefined) throw new AppError('missing_api_key');
    const secret = BEARER.exec(authorization)?.[1];
    if (secret === undefined) throw new AppError('invalid_api_key');
    digest.write(hash('sha256', secret, 'latin1'), 'latin1');
    let caller: Caller | null = null;
    for (const key of keys()) {
      if (timingSafeEqual(digest, key.digest)) caller = key;
    }
    if (caller === null) throw new AppError('invalid_api_key');
    return caller;
  };
}

/** RFC 6750, section 2.1, but with any visible ASCII in the secret. */
const BEARER = /^Bearer +([!-~]+) *$/i;

/** Notes who a request is from, or says why that is not known. */
export function identify(request: FastifyRequest, authenticate: Authenticate): AppError | null {
  try {
    request.caller = authenticate(request.headers.authorization);
    return null;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

/** A hook that lets pass only requests with a good key, each within the limit of its key and within its scopes. */
export function requireKey(authenticate: Authenticate, limits: Limits): onRequestAsyncHookHandler {
  return async (request, reply) => {
    const refusal = identify(request, authenticate);
    if (refusal !== null) {
      await limits.strike(request);
      throw refusal;
    }
    await limits.spend(request, reply);
    refuseWithoutScope(callerOf(request), scopeOf(request.routeOptions));
  };
}

function refuseWithoutScope(caller: Caller, scope: Scope): void {
  if (hasScope(caller, scope)) return;
  throw new AppError('insufficient_scope', { detail: `This takes the scope ${scope}; the key has ${caller.scopes.join(' and ')}.` });
}

/** A hook that ends the start if a route behind a key does not say what scope it takes. */
export const demandScope: onRouteHookHandler = (route) => void scopeOf(route);

function scopeOf({ config, url }: Pick<RouteOptions, 'config'> & { url?: string | undefined }): Scope {
  if (config?.scope === undefined) throw new Error(`${url} has no scope in its config`);
  return config.scope;
}
