import type { LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { joinCalls } from '../../core/join-calls.ts';

/**
 * A URL that must not be called. The message is fit for a log: it names only the host and its
 * address.
 */
export class BlockedUrlError extends Error {
  override readonly name = 'BlockedUrlError';
}

/** Resolves all addresses of a host, as `getaddrinfo` returns them. */
export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

/**
 * Blocks calls to addresses outside the public Internet. The author of a URL may have no access to
 * the internal network, but Outtray has.
 */
export interface SsrfFilter {
  /**
   * Checks the URL without resolving its name. An address in place of a name is checked here,
   * because `lookup` is never called for it.
   *
   * @throws {BlockedUrlError}
   */
  check(url: URL): void;
  /**
   * Resolves and checks the host of a connection. The connection uses the checked address: DNS is
   * not queried again, so it cannot return another one.
   */
  readonly lookup: LookupFunction;
}

/**
 * @param allowedHosts names and addresses in lower case. They may be called at any address, and
 *   over http if the URL says so
 */
export function createSsrfFilter(allowedHosts: readonly string[], resolve: Resolve): SsrfFilter {
  const isAllowed = (host: string) => allowedHosts.includes(host);
  // The process can run few lookups at once, so a name whose lookup hangs must not use all of them.
  const resolveOnce = joinCalls(resolve);

  async function resolveChecked(host: string): Promise<LookupAddress[]> {
    const addresses = [...(await resolveOnce(host))];
    if (!isAllowed(host)) checkAddresses(host, addresses);
    return addresses;
  }

  return {
    check({ protocol, hostname }) {
      const host = hostname.replace(/^\[|\]$/g, '');
      if (isAllowed(host)) return;
      if (protocol !== 'https:')
        throw new BlockedUrlError(
          `${host} may only be called over https: list it in WEBHOOK_ALLOWED_HOSTS to allow http`,
        );
      if (isIP(host) !== 0) checkAddresses(host, [{ address: host }]);
    },
    lookup(hostname, _options, callback) {
      resolveChecked(hostname).then(
        (addresses) => callback(null, addresses),
        (error) => callback(error, []),
      );
    },
  };
}

/**
 * Rejects a host if any of its addresses is not public. It would be chance which of them is called,
 * and attackers use names with both kinds to bypass filters.
 */
function checkAddresses(host: string, addresses: readonly Pick<LookupAddress, 'address'>[]): void {
  for (const { address } of addresses) {
    const range = rangeOf(address);
    if (range === PUBLIC) continue;
    const where = host === address ? 'is' : `resolves to ${address}, which is`;
    throw new BlockedUrlError(
      `${host} ${where} not a public address (${range}): list it in WEBHOOK_ALLOWED_HOSTS if you trust it`,
    );
  }
}

const PUBLIC = 'unicast';
/** Azure's "wire server": a public address that reaches the host of a virtual machine. */
const AZURE_METADATA = '168.63.129.16';
/** The only part of IPv6 that is assigned: https://www.iana.org/assignments/ipv6-address-space */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');
/** RFC 6052: in a network with only IPv6, DNS64 returns such an address for every IPv4 address. */
const NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96');

/** Returns the range of an address: `unicast` if it is on the public Internet. */
export function rangeOf(text: string): string {
  const address = parseAddress(text);
  if (address === null) return 'unreadable';
  if (address instanceof ipaddr.IPv4)
    return address.toString() === AZURE_METADATA ? 'metadata' : address.range();
  if (address.isIPv4MappedAddress()) return rangeOf(address.toIPv4Address().toString());
  if (address.match(NAT64)) return rangeOf(address.toByteArray().slice(-4).join('.'));
  const range = address.range();
  return range === PUBLIC && !address.match(GLOBAL_UNICAST) ? 'reserved' : range;
}

/**
 * Normalizes an IPv6 address as part of a URL first, which writes it without dots and rejects
 * zones. ipaddr.js would parse `::a.b.c.d` as `::ffff:a.b.c.d`.
 */
function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | null {
  if (isIP(text) === 4) return ipaddr.IPv4.parse(text);
  const normalized = URL.parse(`http://[${text}]`)?.hostname.slice(1, -1);
  return normalized === undefined ? null : ipaddr.IPv6.parse(normalized);
}
