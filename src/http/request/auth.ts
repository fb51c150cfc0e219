import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyRequest, onRequestAsyncHookHandler, onRouteHookHandler, RouteOptions } from 'fastify';
import { type ApiKey, type Caller, hasScope, type Scope } from '../../core/auth/caller.ts';
import { AppError } from '../../core/errors.ts';
import { callerOf } from './caller.ts';
import { type Credentials, describeDifference, describeUnknown, readCredentials } from './credentials.ts';
import type { RateLimits } from './rate-limit.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a key must be allowed to call this route. */
    scope?: Scope;
  }
}

/** Returns the caller that the headers of a request name. */
export type Authenticate = (headers: IncomingHttpHeaders) => Caller;

/**
 * Checks credentials against the keys. The time it takes reveals nothing: digests are compared in constant time, and always all of them.
 *
 * The returned function throws AppError `missing_api_key` and `invalid_api_key`.
 *
 * @param keys returns the current keys
 */
export function createAuthenticator(keys: () => readonly ApiKey[]): Authenticate {
  // Reused, because allocating a buffer costs several times what the hash does.
  const digest = Buffer.alloc(DIGEST_BYTES);

  function find({ secret, name }: Credentials): ApiKey | null {
    writeDigest(secret, digest);
    let found: ApiKey | null = null;
    for (const key of keys()) {
      const hasName = name === null || isSame(name, key.name);
      if (timingSafeEqual(digest, key.digest) && hasName) found = key;
    }
    return found;
  }

  return (headers) => {
    const [first, second = first] = readCredentials(headers);
    if (second !== first && !isSame(first.secret, second.secret)) throw describeDifference();
    const key = find(first);
    if (key === null) throw describeUnknown(first);
    return key;
  };
}

const DIGEST_BYTES = 32;

/** Compares two texts in constant time, whatever their lengths. */
function isSame(one: string, another: string): boolean {
  const [left, right] = [Buffer.alloc(DIGEST_BYTES), Buffer.alloc(DIGEST_BYTES)];
  writeDigest(one, left);
  writeDigest(another, right);
  return timingSafeEqual(left, right);
}

function writeDigest(text: string, into: Buffer): void {
  into.write(hash('sha256', text, 'latin1'), 'latin1');
}

/** Notes who a request is from, or says why that is not known. */
export function identify(request: FastifyRequest, authenticate: Authenticate): AppError | null {
  try {
    request.caller = authenticate(request.headers);
    return null;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

/** A hook that lets pass only requests with a good key, each within the limit of its key and within its scopes. */
export function requireKey(authenticate: Authenticate, limits: RateLimits): onRequestAsyncHookHandler {
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
  throw new AppError('insufficient_scope', {
    detail: `This route requires the scope ${scope}; the key has ${caller.scopes.join(' and ')}.`,
  });
}

/** A hook that ends the start if a route behind a key does not say what scope it takes. */
export const demandScope: onRouteHookHandler = (route) => void scopeOf(route);

function scopeOf({ config, url }: Pick<RouteOptions, 'config'> & { url?: string | undefined }): Scope {
  if (config?.scope === undefined) throw new Error(`${url} has no scope in its config`);
  return config.scope;
}
