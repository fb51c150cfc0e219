import type { AddressInfo } from 'node:net';
import type { Config, Reloadable } from '../config/config.ts';
import { toFromDomains } from '../config/from-domains.ts';
import type { AccountChanges } from './delivery-engine.ts';
import {
  buildServiceApp,
  buildServiceMetricsApp,
  openParts,
  type ServiceOptions,
  type ServiceParts,
} from './parts.ts';
import { createShutdownSteps } from './shutdown-steps.ts';

type App = Awaited<ReturnType<typeof buildServiceApp>>;

export interface Service extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /**
   * Replaces keys and accounts. If an account cannot be opened, everything stays as it was.
   *
   * @throws {AppError} `queue_unavailable`
   */
  reload(next: Reloadable): Promise<AccountChanges>;
  /** Lets webhook endpoints that responded 410 Gone receive events again. */
  resetGone(): void;
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
  const { config, logger, backend, deliveryEngine, webhooks, alerts } = parts;
  const app = await buildServiceApp(parts);
  const metricsApp = await buildServiceMetricsApp(parts);
  const { close, unfinished } = createShutdownSteps(parts, {
    close: () => Promise.all([app.close(), metricsApp?.close()]),
  });
  try {
    await deliveryEngine.prepareFor(config.apiKeys);
    await app.listen({ host: config.host, port: config.port });
    await listenForMetrics(metricsApp, config);
  } catch (error) {
    await close();
    throw error;
  }
  await deliveryEngine.start();
  await webhooks.recover(config.apiKeys);
  alerts?.start();
  const { port } = app.server.address() as AddressInfo;
  const url = toUrl(config.host, app);
  const users = config.accounts.map(({ user }) => user);
  logger.info(
    {
      version: options.version,
      url,
      metrics_url: metricsApp ? `${toUrl(config.host, metricsApp)}/metrics` : undefined,
      accounts: users,
      durability: backend.durability,
      api_keys: config.apiKeys.length,
      env_file: options.envFile ?? undefined,
    },
    'listening',
  );
  return {
    url,
    port,
    reload: (next) => reload(parts, next),
    resetGone: webhooks.resetGone,
    close,
    unfinished,
    [Symbol.asyncDispose]: close,
  };
}

/** @throws {Error} As `listen` does, with the name of the variable that sets the port. */
async function listenForMetrics(app: App | null, { host, metrics }: Config): Promise<void> {
  try {
    await app?.listen({ host, port: metrics.port ?? 0 });
  } catch (error) {
    throw Object.assign(error as Error, { variable: 'METRICS_PORT' });
  }
}

async function reload(
  { apiKeys: keys, deliveryEngine, gmailVolume, webhooks }: ServiceParts,
  { apiKeys, accounts }: Reloadable,
): Promise<AccountChanges> {
  await deliveryEngine.prepareFor(apiKeys);
  const replaceAccounts = await deliveryEngine.prepareAccounts(accounts);
  keys.replace(apiKeys);
  webhooks.serve(apiKeys);
  gmailVolume.setDomains(toFromDomains(accounts));
  return replaceAccounts();
}

/** Returns the URL of an app that listens on `host`. */
function toUrl(host: string, app: App): string {
  const { port } = app.server.address() as AddressInfo;
  return `http://${toAuthority(host)}:${port}`;
}

function toAuthority(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}
