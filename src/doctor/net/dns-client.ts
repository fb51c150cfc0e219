import { Resolver } from 'node:dns/promises';

/**
 * What a DNS query found. `missing` is certain: the server has no such record. `unknown` is not: the
 * server did not respond, or refused to.
 */
export type DnsResult<T> =
  | { readonly kind: 'found'; readonly records: readonly T[] }
  | { readonly kind: 'missing'; readonly nameExists: boolean }
  | { readonly kind: 'unknown'; readonly reason: string };

/** Queries of one run. Repeated queries return the first result. */
export interface DnsClient {
  /** Text records, each with its strings joined (RFC 7208, section 3.3). */
  readTxt(name: string): Promise<DnsResult<string>>;
  /** IPv4 and IPv6 addresses. */
  readAddresses(name: string): Promise<DnsResult<string>>;
  /** Host names of mail servers. */
  readMx(name: string): Promise<DnsResult<string>>;
  readCname(name: string): Promise<DnsResult<string>>;
}

/** Codes of c-ares for responses without a record. */
const MISSING = { ENODATA: true, ENOTFOUND: false, EBADNAME: false } as const;

const TRIES = 2;

/**
 * @param limitMs limit of one query, in ms
 * @param servers addresses, such as `127.0.0.1:5353`; null: those of the operating system
 */
export function createDnsClient(limitMs: number, servers: readonly string[] | null = null): DnsClient {
  const resolver = new Resolver({ timeout: limitMs / TRIES / 2, maxTimeout: limitMs / TRIES, tries: TRIES });
  if (servers) resolver.setServers(servers);
  const results = new Map<string, Promise<DnsResult<string>>>();

  /** Makes each query once. */
  function once(type: string, name: string, query: () => Promise<readonly string[]>) {
    const key = `${type} ${name}`;
    const result = results.get(key) ?? toResult(query);
    results.set(key, result);
    return result;
  }

  const readA = (name: string) => once('A', name, () => resolver.resolve4(name));
  const readAaaa = (name: string) => once('AAAA', name, () => resolver.resolve6(name));

  return {
    readTxt: (name) =>
      once('TXT', name, async () => (await resolver.resolveTxt(name)).map((strings) => strings.join(''))),
    async readAddresses(name) {
      const [v4, v6] = await Promise.all([readA(name), readAaaa(name)]);
      if (v4.kind === 'found' && v6.kind === 'found')
        return { kind: 'found', records: [...v4.records, ...v6.records] };
      return [v4, v6].find(({ kind }) => kind !== 'missing') ?? v4;
    },
    readMx: (name) =>
      once('MX', name, async () => (await resolver.resolveMx(name)).map(({ exchange }) => exchange)),
    readCname: (name) => once('CNAME', name, () => resolver.resolveCname(name)),
  };
}

async function toResult(query: () => Promise<readonly string[]>): Promise<DnsResult<string>> {
  try {
    return { kind: 'found', records: await query() };
  } catch (error) {
    const { code = 'an error' } = error as { code?: string };
    if (code in MISSING) return { kind: 'missing', nameExists: MISSING[code as keyof typeof MISSING] };
    return { kind: 'unknown', reason: `the DNS query failed (${code})` };
  }
}
