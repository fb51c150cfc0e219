import { hash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyRequest, onRequestHookHandler, onRouteHookHandler, RouteOptions } from 'fastify';
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
    /** Scope that a key needs to call this route. `any`: each key can call it. */
    scope?: Scope | 'any';
  }
}

/**
 * Returns the API key whose credentials are in the headers.
 *
 * @param connection Connection of the request.
 */
export type Authenticate = (headers: IncomingHttpHeaders, connection?: object) => Caller;

/** What the last request of a connection presented, and what it matched. */
interface Authenticated {
  readonly authorization: string;
  /** The keys at that time. A reload replaces the list. */
  readonly keys: readonly ApiKey[];
  readonly key: ApiKey;
}

/**
 * Creates a check of credentials against the API keys. Its duration reveals nothing: it compares
 * all digests, each in constant time.
 *
 * A connection that repeats its Authorization header has the same key until the keys are reloaded.
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

  function check(headers: IncomingHttpHeaders): ApiKey {
    const [first, second = first] = readCredentials(headers);
    if (second !== first && !isEqual(first.secret, second.secret)) throw conflictingCredentials();
    const key = find(first);
    if (key === null) throw unknownCredentials(first);
    return key;
  }

  const latest = new WeakMap<object, Authenticated>();

  return (headers, connection) => {
    const { authorization, 'x-api-key': apiKey } = headers;
    if (connection === undefined || authorization === undefined || apiKey !== undefined)
      return check(headers);
    const current = keys();
    const last = latest.get(connection);
    if (last?.keys === current && isSameHeader(last.authorization, authorization)) return last.key;
    const key = check(headers);
    latest.set(connection, { authorization, keys: current, key });
    return key;
  };
}

/**
 * Compares in a time that depends only on the lengths: clients behind a proxy can share a
 * connection.
 */
function isSameHeader(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < b.length; i += 1) difference |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return difference === 0;
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
    request.caller = authenticate(request.headers, request.raw.socket);
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
export function requireKey(authenticate: Authenticate, limits: RateLimits): onRequestHookHandler {
  return (request, reply, done) => {
    const refusal = identify(request, authenticate);
    if (refusal !== null) limits.countFailure(request).then(() => done(refusal), done);
    else limits.spend(request, reply).then(() => done(findScopeError(request)), done);
  };
}

function findScopeError(request: FastifyRequest): AppError | undefined {
  const caller = callerOf(request);
  const scope = scopeOf(request.routeOptions);
  if (scope === 'any' || hasScope(caller, scope)) return undefined;
  return new AppError('insufficient_scope', {
    detail: `This route requires the scope ${scope}; the key has ${caller.scopes.join(' and ')}.`,
  });
}

/** A hook that fails at startup if a route that needs an API key declares no scope. */
export const requireScope: onRouteHookHandler = (route) => void scopeOf(route);

function scopeOf({
  config,
  url,
}: Pick<RouteOptions, 'config'> & { url?: string | undefined }): Scope | 'any' {
  if (config?.scope === undefined) throw new Error(`${url} has no scope in its config`);
  return config.scope;
}
