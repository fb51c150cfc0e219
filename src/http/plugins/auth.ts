import { hash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest, onRequestAsyncHookHandler } from 'fastify';
import type { ApiKey, Caller } from '../../core/caller.ts';
import { AppError } from '../../core/errors.ts';
import type { Limits } from './limits.ts';

/** Tells who a request is from. */
export type Authenticate = (authorization: string | undefined) => Caller;

/**
 * Checks bearer secrets against the keys. The time it takes tells nothing: digests are compared in constant time, and always all of them.
 *
 * The function it makes throws AppError `missing_api_key`, and `invalid_api_key` whatever is wrong with the key.
 */
export function createAuthenticator(keys: readonly ApiKey[]): Authenticate {
  // One buffer for all: a new one for each request would cost several times what the hash does.
  const digest = Buffer.alloc(32);

  return (authorization) => {
    if (authorization === undefined) throw new AppError('missing_api_key');
    const secret = BEARER.exec(authorization)?.[1];
    if (secret === undefined) throw new AppError('invalid_api_key');
    digest.write(hash('sha256', secret, 'latin1'), 'latin1');
    let caller: Caller | null = null;
    for (const key of keys) {
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

/** A hook that lets pass only requests with a good key, each within the limit of its key. */
export function requireKey(authenticate: Authenticate, limits: Limits): onRequestAsyncHookHandler {
  return async (request, reply) => {
    const refusal = identify(request, authenticate);
    if (refusal === null) return limits.spend(request, reply);
    await limits.strike(request);
    throw refusal;
  };
}
