import type { Socket } from 'node:net';
import { type Check, type Finding, fail, pass, skip, toCheck, warn } from '../report.ts';
import { fixOf, type TroubleshootingId } from '../troubleshooting.ts';
import { explain, isSilence, type Trouble } from '../wire/connection-errors.ts';
import { dial, type Family, type Wire, within } from '../wire/sockets.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** How far the network leads to a server. */
export interface Way {
  readonly checks: readonly Check[];
  /** An address that takes connections; null if there is none, and `trouble` says why. */
  readonly address: string | null;
  readonly trouble: Trouble | null;
}

/** Runs a check and measures it. */
export async function timed(
  about: Pick<Check, 'id' | 'name' | 'target'>,
  run: () => Finding | Promise<Finding>,
): Promise<Check> {
  const startedAt = performance.now();
  const finding = await run();
  return toCheck(about, finding, performance.now() - startedAt);
}

/** `host:port`, as a URL has them. */
export function toTarget({ host, port }: Endpoint): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * DNS, then TCP over each family.
 *
 * @param compare whether port 443 of a well-known host can be reached: asked only when this server does not answer in time
 */
export async function findWay(server: Endpoint, wire: Wire, compare: () => Promise<Finding>): Promise<Way> {
  const { host, port } = server;
  const target = toTarget(server);
  let resolved: readonly Resolved[] = [];
  const dns = await timed({ id: 'dns', name: 'DNS', target }, async () => {
    resolved = await Promise.all(FAMILIES.map((family) => resolve(host, family, wire)));
    return toDnsFinding(resolved);
  });
  if (resolved.every(({ addresses }) => addresses.length === 0)) {
    return { checks: [dns], address: null, trouble: resolved[0]?.trouble ?? null };
  }
  const reached = await Promise.all(
    resolved.map(async ({ family, addresses }) => {
      let result: Reached = NOT_REACHED;
      const check = await timed(
        { id: `tcp_ipv${family}`, name: `TCP over IPv${family}`, target },
        async () => {
          if (addresses.length === 0) return skip(`there is no IPv${family} address`);
          result = await reach(addresses, port, wire, compare);
          return result.trouble ?? pass(`connected to ${result.address}`);
        },
      );
      return { family, check, ...result };
    }),
  );
  const best = reached.find(({ address }) => address !== null);
  return {
    checks: [dns, ...reached.map(({ family, check }) => (best ? relent(check, family) : check))],
    address: best?.address ?? null,
    trouble: best ? null : (reached.find(({ trouble }) => trouble)?.trouble ?? null),
  };
}

/** Whether port 443 can be reached, as almost everywhere: if so, and mail ports cannot, it is they that are blocked. */
export async function checkHttps({ host, port }: Endpoint, wire: Wire): Promise<Finding> {
  const resolved = await Promise.all(FAMILIES.map((family) => resolve(host, family, wire)));
  const addresses = resolved.flatMap((each) => each.addresses);
  const { address, trouble } = addresses.length > 0 ? await reach(addresses, port, wire, null) : NOT_REACHED;
  if (address !== null) return pass(`connected to ${address}`);
  return warn('no_network', (trouble ?? resolved[0]?.trouble)?.detail ?? 'there is no address');
}

const FAMILIES = [4, 6] as const;

interface Resolved {
  readonly family: Family;
  readonly addresses: readonly string[];
  readonly trouble: Trouble | null;
}

async function resolve(host: string, family: Family, { resolve: ask, limitMs }: Wire): Promise<Resolved> {
  try {
    return {
      family,
      addresses: await within(limitMs, 'DNS_TIMEOUT', `no answer about ${host}`, ask(host, family)),
      trouble: null,
    };
  } catch (error) {
    // What `classify` takes for a fault of DNS, whatever the resolver calls it.
    const trouble = explain({ code: 'EDNS', message: error instanceof Error ? error.message : '' });
    return { family, addresses: [], trouble };
  }
}

function toDnsFinding(resolved: readonly Resolved[]): Finding {
  const addresses = resolved.flatMap((each) => each.addresses);
  const trouble = resolved.find((each) => each.trouble)?.trouble;
  return addresses.length === 0 && trouble ? trouble : pass(addresses.join(', '));
}

interface Reached {
  readonly address: string | null;
  readonly trouble: Trouble | null;
}

const NOT_REACHED: Reached = { address: null, trouble: null };

/** Tries every address at once, at least one, and holds no connection. */
async function reach(
  addresses: readonly string[],
  port: number,
  { limitMs }: Wire,
  compare: (() => Promise<Finding>) | null,
): Promise<Reached> {
  const sockets: Socket[] = [];
  const attempts = addresses.map(async (address) => {
    sockets.push(await dial(address, port, limitMs));
    return address;
  });
  const results = await Promise.allSettled(attempts);
  for (const socket of sockets) socket.destroy();
  const first = results.find((result) => result.status === 'fulfilled');
  if (first) return { address: first.value, trouble: null };
  const reason: unknown = results.find((result) => result.status === 'rejected')?.reason;
  const trouble = explain(reason);
  if (!compare || !isSilence(reason)) return { address: null, trouble };
  const id: TroubleshootingId = (await compare()).status === 'pass' ? 'ports_blocked' : 'no_network';
  return { address: null, trouble: { ...trouble, ...fail(id, trouble.detail), status: 'fail' } };
}

/** The other family works, so mail goes out: a failure of this one is only a nuisance. */
function relent(check: Check, family: Family): Check {
  if (check.status !== 'fail') return check;
  const code: TroubleshootingId = family === 6 ? 'ipv6_unreachable' : 'ipv4_unreachable';
  return { ...check, status: 'warn', code, advice: fixOf(code) ?? null };
}
