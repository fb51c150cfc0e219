import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import { BlockedUrlError, createSsrfFilter, type SsrfFilter } from '../../adapters/webhook/ssrf-filter.ts';
import type { Config } from '../../config/config.ts';
import { type Check, type Finding, pass, skip, toCheck, warn } from '../report.ts';
import { dial, encrypt, type Wire, within } from '../wire/sockets.ts';
import { timed } from './network.ts';

const ABOUT = { id: 'webhook', name: 'Webhook' } as const;

/** Whether a connection to each endpoint of webhooks is possible and allowed, with TLS if it has it. Makes no request. */
export async function checkWebhooks(
  { webhooks, apiKeys }: Pick<Config, 'webhooks' | 'apiKeys'>,
  wire: Wire,
): Promise<Check[]> {
  const urls = [webhooks.url, ...apiKeys.map(({ webhookUrl }) => webhookUrl)].filter((url) => url !== null);
  const origins = [...new Set(urls.map((url) => new URL(url).origin))];
  if (origins.length === 0) return [toCheck({ ...ABOUT, target: 'WEBHOOK_URL' }, skip('not set'))];
  const guard = createSsrfFilter(webhooks.allowedHosts, (host) => resolveAll(host, wire));
  return Promise.all(
    origins.map((origin) => timed({ ...ABOUT, target: origin }, () => reach(new URL(origin), guard, wire))),
  );
}

/** Both families; an error only if there is no address at all. */
async function resolveAll(host: string, { resolve, limitMs }: Wire): Promise<LookupAddress[]> {
  const families = ([4, 6] as const).map(async (family) =>
    (await resolve(host, family)).map((address) => ({ address, family })),
  );
  const results = await within(limitMs, 'DNS_TIMEOUT', 'no address', Promise.allSettled(families));
  const addresses = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
  const failed = results.find((result) => result.status === 'rejected');
  if (addresses.length === 0 && failed) throw failed.reason;
  return addresses;
}

async function reach(url: URL, guard: SsrfFilter, wire: Wire): Promise<Finding> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isSecure = url.protocol === 'https:';
  const port = Number(url.port || (isSecure ? 443 : 80));
  try {
    guard.check(url);
    const addresses = isIP(host) ? [host] : await lookUp(host, guard);
    const socket = await dialFirst(addresses, port, wire);
    try {
      if (isSecure) await encrypt(socket, host, 'CONNECT_TIMEOUT', wire);
    } finally {
      socket.destroy();
    }
    return pass('it takes connections; no request was made');
  } catch (error) {
    return warn(
      'webhook_unreachable',
      `${error instanceof BlockedUrlError ? error.message : `it cannot be reached (${describe(error)})`}.`,
    );
  }
}

/** Through the guard: where the service would connect to. */
async function lookUp(host: string, guard: SsrfFilter): Promise<string[]> {
  const addresses = await promisify(guard.lookup)(host, { all: true });
  return (addresses as unknown as LookupAddress[]).map(({ address }) => address);
}

async function dialFirst(addresses: readonly string[], port: number, { limitMs }: Wire) {
  let last: unknown;
  for (const address of addresses) {
    try {
      return await dial(address, port, limitMs);
    } catch (error) {
      last = error;
    }
  }
  throw last;
}

/** The code where there is one: a message may quote a certificate. */
function describe(error: unknown): string {
  const { code, message, timeoutType } = error as { code?: string; message: string; timeoutType?: string };
  return timeoutType === undefined ? (code ?? message) : message;
}
