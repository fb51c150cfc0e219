import type { Socket } from 'node:net';
import { type Check, type CheckResult, fail, pass, runCheck, skip, warn } from '../check.ts';
import { diagnoseError, type FailedResult, isConnectTimeout } from '../net/error-diagnosis.ts';
import { type Family, type NetworkOptions, openTcp, withTimeout } from '../net/sockets.ts';
import { fixOf, type TroubleshootingId } from '../troubleshooting.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** The endpoint to compare with when a mail port times out. */
export const COMPARE_WITH: Endpoint = { host: 'accounts.google.com', port: 443 };

export interface Reachability {
  readonly checks: readonly Check[];
  /** An address that accepts connections. Null if there is none; `failure` then says why. */
  readonly address: string | null;
  readonly failure: FailedResult | null;
}

/** Formats `host:port` as in a URL. */
export function toTarget({ host, port }: Endpoint): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * Checks DNS, then TCP over each address family.
 *
 * @param compare checks port 443 of a well-known host; called only if this server times out
 */
export async function checkReachability(
  server: Endpoint,
  network: NetworkOptions,
  compare: () => Promise<CheckResult>,
): Promise<Reachability> {
  const { host, port } = server;
  const target = toTarget(server);
  let resolved: readonly ResolvedFamily[] = [];
  const dns = await runCheck({ id: 'dns', name: 'DNS', target }, async () => {
    resolved = await Promise.all(FAMILIES.map((family) => resolveFamily(host, family, network)));
    return toDnsResult(resolved);
  });
  if (resolved.every(({ addresses }) => addresses.length === 0)) {
    return { checks: [dns], address: null, failure: resolved[0]?.failure ?? null };
  }
  const connections = await Promise.all(
    resolved.map(async ({ family, addresses }) => {
      let result: ConnectResult = NOT_CONNECTED;
      const check = await runCheck(
        { id: `tcp_ipv${family}`, name: `TCP over IPv${family}`, target },
        async () => {
          if (addresses.length === 0) return skip(`there is no IPv${family} address`);
          result = await connectToAny(addresses, port, network, compare);
          return result.failure ?? pass(`connected to ${result.address}`);
        },
      );
      return { family, check, ...result };
    }),
  );
  const connected = connections.find(({ address }) => address !== null);
  return {
    checks: [
      dns,
      ...connections.map(({ family, check }) => (connected ? downgradeToWarning(check, family) : check)),
    ],
    address: connected?.address ?? null,
    failure: connected ? null : (connections.find(({ failure }) => failure)?.failure ?? null),
  };
}

/**
 * Checks port 443, which is open almost everywhere: if it is, but mail ports time out, they are
 * blocked.
 */
export async function checkHttpsPort(
  { host, port }: Endpoint,
  network: NetworkOptions,
): Promise<CheckResult> {
  const resolved = await Promise.all(FAMILIES.map((family) => resolveFamily(host, family, network)));
  const addresses = resolved.flatMap((each) => each.addresses);
  const { address, failure } =
    addresses.length > 0 ? await connectToAny(addresses, port, network, null) : NOT_CONNECTED;
  if (address !== null) return pass(`connected to ${address}`);
  return warn('no_network', (failure ?? resolved[0]?.failure)?.detail ?? 'there is no address');
}

const FAMILIES = [4, 6] as const;

interface ResolvedFamily {
  readonly family: Family;
  readonly addresses: readonly string[];
  readonly failure: FailedResult | null;
}

async function resolveFamily(
  host: string,
  family: Family,
  { resolve, limitMs }: NetworkOptions,
): Promise<ResolvedFamily> {
  try {
    const lookup = resolve(host, family);
    const addresses = await withTimeout(limitMs, 'DNS_TIMEOUT', `no response for ${host}`, lookup);
    return { family, addresses, failure: null };
  } catch (error) {
    // `classify` recognizes a DNS fault by this code; resolvers use others.
    const failure = diagnoseError({ code: 'EDNS', message: error instanceof Error ? error.message : '' });
    return { family, addresses: [], failure };
  }
}

function toDnsResult(resolved: readonly ResolvedFamily[]): CheckResult {
  const addresses = resolved.flatMap((each) => each.addresses);
  const failure = resolved.find((each) => each.failure)?.failure;
  return addresses.length === 0 && failure ? failure : pass(addresses.join(', '));
}

interface ConnectResult {
  readonly address: string | null;
  readonly failure: FailedResult | null;
}

const NOT_CONNECTED: ConnectResult = { address: null, failure: null };

/** Connects to all addresses (at least one) at once, and closes the connections. */
async function connectToAny(
  addresses: readonly string[],
  port: number,
  { limitMs }: NetworkOptions,
  compare: (() => Promise<CheckResult>) | null,
): Promise<ConnectResult> {
  const sockets: Socket[] = [];
  const attempts = addresses.map(async (address) => {
    sockets.push(await openTcp(address, port, limitMs));
    return address;
  });
  const results = await Promise.allSettled(attempts);
  for (const socket of sockets) socket.destroy();
  const first = results.find((result) => result.status === 'fulfilled');
  if (first) return { address: first.value, failure: null };
  const reason: unknown = results.find((result) => result.status === 'rejected')?.reason;
  const failure = diagnoseError(reason);
  if (!compare || !isConnectTimeout(reason)) return { address: null, failure };
  const id: TroubleshootingId = (await compare()).status === 'pass' ? 'ports_blocked' : 'no_network';
  return { address: null, failure: { ...failure, ...fail(id, failure.detail), status: 'fail' } };
}

/** Mail is sent over the other address family, so a failure of this one only costs time. */
function downgradeToWarning(check: Check, family: Family): Check {
  if (check.status !== 'fail') return check;
  const code: TroubleshootingId = family === 6 ? 'ipv6_unreachable' : 'ipv4_unreachable';
  return { ...check, status: 'warn', code, advice: fixOf(code) ?? null };
}
