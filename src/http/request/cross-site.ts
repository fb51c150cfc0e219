import type { FastifyRequest } from 'fastify';
import { AppError } from '../../core/errors.ts';

/**
 * Refuses a request from a page of another site. A browser sends a form without asking first, and
 * with the name and password of Basic that it remembers; for JSON it asks, and gets no permission.
 *
 * @throws {AppError} `cross_site_request`
 */
export function refuseCrossSite({ headers, host }: Pick<FastifyRequest, 'headers' | 'host'>): void {
  const { origin, 'sec-fetch-site': site } = headers;
  const isForeign = origin !== undefined && hostOf(origin) !== host.toLowerCase();
  if (isForeign || site === 'cross-site') throw new AppError('cross_site_request');
}

/** Null for `null`, which is the origin of a page in a sandbox or a file. */
function hostOf(origin: string): string | null {
  return URL.parse(origin)?.host ?? null;
}
