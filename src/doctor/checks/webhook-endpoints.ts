import type { LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import { promisify } from 'node:util';
import { BlockedUrlError, createSsrfFilter, type SsrfFilter } from '../../adapters/webhook/ssrf-filter.ts';
import type { Config } from '../../config/config.ts';
import { type Check, type CheckResult, pass, runCheck, skip, toCheck, warn } from '../check.ts';
import { type NetworkOptions, openTcp, openTls, withTimeout } from '../net/sockets.ts';

/** Checks the endpoints of events. */
export function checkWebhooks(
  { webhooks, apiKeys }: Pick<Config, 'webhooks' | 'apiKeys'>,
  network: NetworkOptions,
): Promise<Check[]> {
  const urls = [webhooks.url, ...apiKeys.map(({ webhookUrl }) => webhookUrl)];
  const subject = { id: 'webhook', name: 'Webhook', target: 'WEBHOOK_URL' };
  return checkEndpoints(urls, subject, webhooks, network);
}

/** Checks the endpoint of alerts. */
export function checkAlertWebhook(
  { webhooks, alertWebhookUrl }: Pick<Config, 'webhooks' | 'alertWebhookUrl'>,
  network: NetworkOptions,
): Promise<Check[]> {
  const subject = { id: 'alert_webhook', name: 'Alerts', target: 'ALERT_WEBHOOK_URL' };
  return checkEndpoints([alertWebhookUrl], subject, webhooks, network);
}

/**
 * Checks that a connection to each endpoint is allowed and works, with TLS for https. Makes no
 * request. Paths and queries may be secret, so results name only origins.
 *
 * @param subject of the check if there is no endpoint
 */
async function checkEndpoints(
  urls: readonly (string | null)[],
  subject: Pick<Check, 'id' | 'name' | 'target'>,
  { allowedHosts }: Pick<Config['webhooks'], 'allowedHosts'>,
  network: NetworkOptions,
): Promise<Check[]> {
  const origins = [...new Set(urls.filter((url) => url !== null).map((url) => new URL(url).origin))];
  if (origins.length === 0) return [toCheck(subject, skip('not set'))];
  const filter = createSsrfFilter(allowedHosts, (host) => resolveAll(host, network));
  return Promise.all(
    origins.map((origin) =>
      runCheck({ ...subject, target: origin }, () => checkEndpoint(new URL(origin), filter, network)),
    ),
  );
}

/** Resolves both address families. Rejects only if there is no address at all. */
async function resolveAll(host: string, { resolve, limitMs }: NetworkOptions): Promise<LookupAddress[]> {
  const families = ([4, 6] as const).map(async (family) =>
    (await resolve(host, family)).map((address) => ({ address, family })),
  );
  const results = await withTimeout(limitMs, 'DNS_TIMEOUT', 'no DNS response', Promise.allSettled(families));
  const addresses = results.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
  const failed = results.find((result) => result.status === 'rejected');
  if (addresses.length === 0 && failed) throw failed.reason;
  return addresses;
}

async function checkEndpoint(url: URL, filter: SsrfFilter, network: NetworkOptions): Promise<CheckResult> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isSecure = url.protocol === 'https:';
  const port = Number(url.port || (isSecure ? 443 : 80));
  try {
    filter.check(url);
    const addresses = isIP(host) ? [host] : await lookUp(host, filter);
    const socket = await connectToFirst(addresses, port, network);
    try {
      if (isSecure) await openTls(socket, host, 'CONNECT_TIMEOUT', network);
    } finally {
      socket.destroy();
    }
    return pass('it accepts connections; no request was made');
  } catch (error) {
    return warn(
      'webhook_unreachable',
      `${error instanceof BlockedUrlError ? error.message : `it cannot be reached (${describe(error)})`}.`,
    );
  }
}

/** Resolves through the SSRF filter, as the service does. */
async function lookUp(host: string, filter: SsrfFilter): Promise<string[]> {
  const addresses = await promisify(filter.lookup)(host, { all: true });
  return (addresses as unknown as LookupAddress[]).map(({ address }) => address);
}

async function connectToFirst(addresses: readonly string[], port: number, { limitMs }: NetworkOptions) {
  let lastError: unknown;
  for (const address of addresses) {
    try {
      return await openTcp(address, port, limitMs);
    } catch (error) {
      lastError = error;
    }
  }
  throw lastError;
}

/** Prefers the code over the message, which may quote a certificate. */
function describe(error: unknown): string {
  const { code, message, timeoutType } = error as { code?: string; message: string; timeoutType?: string };
  return timeoutType === undefined ? (code ?? message) : message;
}
