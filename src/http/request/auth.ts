import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyRequest, onRequestAsyncHookHandler, onRouteHookHandler, RouteOptions } from 'fastify';
import { type ApiKey, type Caller, hasScope, type Scope } from '../../core/auth/caller.ts';
import { AppError } from '../../core/errors.ts';
import {
  type Credentials,
  conflictingCredentials,
  readCredentials,
  unknownCredentials,
} from './credentials.ts';
import type { RateLimits } from './rate-limit.ts';
import { callerOf } from './request-context.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Scope that a key needs to call this route. */
    scope?: Scope;
  }
}

/** Returns the API key whose credentials are in the headers. */
export type Authenticate = (headers: IncomingHttpHeaders) => Caller;

/**
 * Creates a check of credentials against the API keys. Its duration reveals nothing: it compares
 * all digests, each in constant time.
 *
 * The returned function throws AppError `missing_api_key` and `invalid_api_key`.
 *
 * @param keys Returns the current keys.
 */
export function createAuthenticator(keys: () => readonly ApiKey[]): Authenticate {
  // Reused, because allocating a buffer takes several times as long as hashing.
  const digest = Buffer.alloc(DIGEST_BYTES);

  function find({ secret, name }: Credentials): ApiKey | null {
    writeDigest(secret, digest);
    let found: ApiKey | null = null;
    for (const key of keys()) {
      const hasName = name === null || isEqual(name, key.name);
      if (timingSafeEqual(digest, key.digest) && hasName) found = key;
    }
    return found;
  }

  return (headers) => {
    const [first, second = first] = readCredentials(headers);
    if (second !== first && !isEqual(first.secret, second.secret)) throw conflictingCredentials();
    const key = find(first);
    if (key === null) throw unknownCredentials(first);
    return key;
  };
}

const DIGEST_BYTES = 32;

/** Compares two texts of any length in constant time. */
function isEqual(a: string, b: string): boolean {
  const [left, right] = [Buffer.alloc(DIGEST_BYTES), Buffer.alloc(DIGEST_BYTES)];
  writeDigest(a, left);
  writeDigest(b, right);
  return timingSafeEqual(left, right);
}

function writeDigest(text: string, target: Buffer): void {
  target.write(hash('sha256', text, 'latin1'), 'latin1');
}

/** Sets `request.caller`. Returns the error if the credentials are missing or invalid. */
export function identify(request: FastifyRequest, authenticate: Authenticate): AppError | null {
  try {
    request.caller = authenticate(request.headers);
    return null;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

/**
 * Creates a hook that requires a valid API key with the scope of the route, within the rate limit
 * of the key.
 */
export function requireKey(authenticate: Authenticate, limits: RateLimits): onRequestAsyncHookHandler {
  return async (request, reply) => {
    const refusal = identify(request, authenticate);
    if (refusal !== null) {
      await limits.countFailure(request);
      throw refusal;
    }
    await limits.spend(request, reply);
    checkScope(callerOf(request), scopeOf(request.routeOptions));
  };
}

function checkScope(caller: Caller, scope: Scope): void {
  if (hasScope(caller, scope)) return;
  throw new AppError('insufficient_scope', {
    detail: `This route requires the scope ${scope}; the key has ${caller.scopes.join(' and ')}.`,
  });
}

/** A hook that fails at startup if a route that needs an API key declares no scope. */
export const requireScope: onRouteHookHandler = (route) => void scopeOf(route);

function scopeOf({ config, url }: Pick<RouteOptions, 'config'> & { url?: string | undefined }): Scope {
  if (config?.scope === undefined) throw new Error(`${url} has no scope in its config`);
  return config.scope;
}
