import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import type { Resolve } from '../server-options.ts';

/**
 * Lookups in progress, by host. Each occupies a thread of libuv's pool, and a resolver that does
 * not respond must not occupy every thread.
 */
const inProgress = new Map<string, Promise<readonly LookupAddress[]>>();

/**
 * Resolves a host as the operating system does (getaddrinfo): with /etc/hosts, search domains and
 * mDNS, both families, in the system's order. Concurrent calls for the same host share one lookup.
 */
export const resolveHost: Resolve = (host) => {
  const pending = inProgress.get(host) ?? lookup(host, { all: true }).finally(() => inProgress.delete(host));
  inProgress.set(host, pending);
  return pending;
};
