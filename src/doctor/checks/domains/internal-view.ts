import ipaddr from 'ipaddr.js';
import type { DnsClient } from '../../net/dns-client.ts';

const INTERNAL_RANGES = ['private', 'uniqueLocal'];

/**
 * Returns why the DNS server seems to know less of a domain than receivers do, as a server inside a
 * company's network may (split horizon). Null if nothing shows that.
 */
export async function findInternalView(domain: string, dns: DnsClient): Promise<string | null> {
  const [text, mx] = await Promise.all([dns.readTxt(domain), dns.readMx(domain)]);
  if (text.kind === 'missing' && !text.nameExists) return `the DNS server does not know ${domain}`;
  const hosts = [domain, ...(mx.kind === 'found' ? mx.records : [])];
  for (const host of hosts) {
    const found = await dns.readAddresses(host);
    const internal = found.kind === 'found' && found.records.find(isInternal);
    if (internal)
      return `the DNS server may serve an internal view of ${domain}: ${host} has the private address ${internal}`;
  }
  return null;
}

function isInternal(address: string): boolean {
  return INTERNAL_RANGES.includes(ipaddr.parse(address).range());
}
