import type { LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';

/** A URL that must not be called. The message is fit for a log: it names the host and its address, no more. */
export class BlockedUrlError extends Error {
  override readonly name = 'RefusedUrl';
}

/** All addresses of a host, as `getaddrinfo` gives them. */
export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

/** Keeps calls from what is not on the public Internet: a URL may come from somebody who cannot reach our network, but we can. */
export interface SsrfFilter {
  /**
   * What a URL shows by itself. An address in place of a name is checked here: for those nothing is looked up.
   *
   * @throws {BlockedUrlError}
   */
  check(url: URL): void;
  /** Resolves for a connection, which then goes to an address that was checked: it asks DNS once, and nobody asks again. */
  readonly lookup: LookupFunction;
}

/** @param allowedHosts names and addresses, in lower case, that are called whatever their address, and by http if the URL says so */
export function createSsrfFilter(allowedHosts: readonly string[], resolve: Resolve): SsrfFilter {
  const isAllowed = (host: string) => allowedHosts.includes(host);
  const lookups = new Map<string, ReturnType<Resolve>>();

  /** Few names are looked up at once in the whole process: one that gets no answer must not take every place. */
  function resolveOnce(host: string): ReturnType<Resolve> {
    const asked = lookups.get(host) ?? resolve(host).finally(() => lookups.delete(host));
    lookups.set(host, asked);
    return asked;
  }

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
          `${host} is called by https only: list it in WEBHOOK_ALLOWED_HOSTS for http`,
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

/** One bad address is enough: which of them is called would be chance, and a name with both is how a guard is tricked. */
function checkAddresses(host: string, addresses: readonly Pick<LookupAddress, 'address'>[]): void {
  for (const { address } of addresses) {
    const range = rangeOf(address);
    if (range === PUBLIC) continue;
    const where = host === address ? 'is' : `resolves to ${address}, which is`;
    throw new BlockedUrlError(
      `${host} ${where} not a public address (${range}): list it in WEBHOOK_ALLOWED_HOSTS if it is yours`,
    );
  }
}

const PUBLIC = 'unicast';
/** Azure's "wire server": a public address that leads to the host of a virtual machine. */
const AZURE_METADATA = '168.63.129.16';
/** The only part of IPv6 that is given out: https://www.iana.org/assignments/ipv6-address-space */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');
/** RFC 6052: where a network has only IPv6, DNS64 gives such an address for every IPv4 one. */
const NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96');

/** The kind of network an address lies in: `unicast` if it is on the public Internet. */
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

/** Ipaddr.js takes `::a.b.c.d` for `::ffff:a.b.c.d`. A URL spells an address without dots, and knows no zones. */
function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | null {
  if (isIP(text) === 4) return ipaddr.IPv4.parse(text);
  const spelled = URL.parse(`http://[${text}]`)?.hostname.slice(1, -1);
  return spelled === undefined ? null : ipaddr.IPv6.parse(spelled);
}
