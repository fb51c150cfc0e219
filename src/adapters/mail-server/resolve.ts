import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import type { LookupFunction } from 'node:net';
import { joinCalls } from '../../core/join-calls.ts';

/**
 * Returns every address of a host, or rejects with the system's code, such as ENOTFOUND or
 * EAI_AGAIN.
 */
export type Resolve = (host: string) => Promise<readonly LookupAddress[]>;

/**
 * Resolves a host as the operating system does (getaddrinfo): with /etc/hosts, search domains and
 * mDNS, both families, in the system's order. Concurrent calls for the same host share one lookup:
 * each occupies a thread of libuv's pool, and a resolver that does not respond must not occupy every
 * thread.
 */
export const resolveHost: Resolve = joinCalls((host) => lookup(host, { all: true }));

/** Does the same for a socket. */
export const lookupHost: LookupFunction = (host, { all }, callback) => {
  resolveHost(host).then(
    (addresses) => {
      if (all) return callback(null, [...addresses]);
      const [first] = addresses;
      callback(null, first?.address ?? '', first?.family);
    },
    (error) => callback(error, ''),
  );
};
