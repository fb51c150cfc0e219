import type { AddressInfo } from 'node:net';
import { buildServiceApp, openParts, type ServiceOptions, type ServiceParts } from './parts.ts';
import { createShutdownSteps } from './shutdown-steps.ts';

export interface Service extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /**
   * Reads the API keys again, and lets webhook endpoints that responded 410 Gone receive events
   * again. Returns the number of keys, or null if they are set in the environment, which cannot
   * change.
   *
   * @throws {ConfigError} If the new keys cannot be used. The previous keys stay in effect.
   */
  reloadKeys(): Promise<number | null>;
  /**
   * Stops accepting requests, waits for running attempts and logs the messages that are lost.
   * Resolves within SHUTDOWN_TIMEOUT, even if a part hangs.
   */
  close(): Promise<void>;
  /** Returns the names of the parts that `close` still waits for or has given up. */
  unfinished(): string[];
}

/**
 * Composes the service and starts it.
 *
 * @throws {ConfigError} If the templates or the file of the queue cannot be used.
 * @throws {Error} If Redis cannot be used, or with the code of a socket error such as EADDRINUSE.
 */
export async function openService(options: ServiceOptions): Promise<Service> {
  const parts = await openParts(options);
  const { config, logger, backend, deliveryEngine, webhooks } = parts;
  const app = await buildServiceApp(parts);
  const { close, unfinished } = createShutdownSteps(parts, app);
  try {
    await deliveryEngine.prepareFor(config.apiKeys);
    await app.listen({ host: config.host, port: config.port });
  } catch (error) {
    await close();
    throw error;
  }
  await deliveryEngine.start();
  await webhooks.recover(config.apiKeys);
  const { port } = app.server.address() as AddressInfo;
  const url = `http://${toAuthority(config.host)}:${port}`;
  const users = config.accounts.map(({ user }) => user);
  logger.info(
    { version: options.version, url, accounts: users, durability: backend.durability },
    'listening',
  );
  return {
    url,
    port,
    reloadKeys: () => reloadKeys(parts),
    close,
    unfinished,
    [Symbol.asyncDispose]: close,
  };
}

async function reloadKeys({
  config,
  apiKeys,
  deliveryEngine,
  webhooks,
}: ServiceParts): Promise<number | null> {
  webhooks.resetGone();
  const keys = config.reloadApiKeys();
  if (keys === null) return null;
  await deliveryEngine.prepareFor(keys);
  apiKeys.replace(keys);
  webhooks.serve(keys);
  return keys.length;
}

/** Returns the host of a URL that reaches a service listening on `host`. */
function toAuthority(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
