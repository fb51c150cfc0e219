import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';

/** Returns every address of a host, or rejects with the code of the system, such as ENOTFOUND or EAI_AGAIN. */
export type Resolve = (host: string) => Promise<readonly LookupAddress[]>;

/** Lookups in progress: each occupies a thread of libuv's pool, and a resolver that does not respond must not take every thread. */
const inProgress = new Map<string, Promise<readonly LookupAddress[]>>();

/**
 * Resolves a host as the operating system does (getaddrinfo): /etc/hosts, search domains and mDNS included, both families, in the system's order.
 * Callers that ask for the same host at the same time share one lookup.
 */
export const resolveHost: Resolve = (host) => {
  const lookedUp = inProgress.get(host) ?? lookup(host, { all: true }).finally(() => inProgress.delete(host));
  inProgress.set(host, lookedUp);
  return lookedUp;
};
