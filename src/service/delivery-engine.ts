import type { Deadlines } from '../adapters/smtp/server-options.ts';
import type { Config } from '../config/config.ts';
import type { AccountNotices } from '../core/accounts/account-events.ts';
import { type Accounts, createAccounts } from '../core/accounts/accounts.ts';
import type { DeliveryChanges } from '../core/delivery-changes.ts';
import { createDispatcher, type Dispatcher } from '../core/dispatch/dispatcher.ts';
import type { RetryPolicy } from '../core/dispatch/retry-policy.ts';
import { watchWallClock } from '../core/dispatch/wall-clock.ts';
import type { Events } from '../core/events.ts';
import type { Backend } from '../core/ports/backend.ts';
import { type AccountTransport, openAccountTransport } from './account-transport.ts';
import type { Sandbox } from './sandbox.ts';

export interface DeliveryEngineOptions extends Pick<Backend, 'queue' | 'store' | 'sharedState'> {
  readonly config: Config;
  readonly events: Events;
  readonly changes: DeliveryChanges;
  readonly noticesOf: AccountNotices;
  readonly ca: string | null;
  readonly backoffScale: number;
  readonly deadlines: Deadlines | undefined;
  readonly absentAfterMs: number | undefined;
}

/**
 * Everything that sends: the configured accounts, the sandbox of test keys, and their dispatchers.
 */
export interface DeliveryEngine {
  readonly accounts: Accounts;
  /** Whether mail is being sent: deliveries begin and end, and not all wait for a server. */
  isSending(): boolean;
  /** Starts taking due deliveries. */
  start(): Promise<void>;
  /** Opens the sandbox if one of these keys is a test key and the sandbox is not open yet. */
  prepareFor(keys: Config['apiKeys']): Promise<void>;
  /** Takes no more deliveries. Resolves when the attempts under way have ended and are recorded. */
  drain(): Promise<void>;
  /** Aborts running attempts and closes all connections. */
  close(): Promise<void>;
}

export async function openDeliveryEngine(options: DeliveryEngineOptions): Promise<DeliveryEngine> {
  const { config, queue, store, events, changes, backoffScale, deadlines } = options;
  const { connections, connectionsHere: workers } = config.smtp;
  const senders = await openSenders(options);
  let sandbox: Sandbox | null = null;
  const accounts = createAccounts({
    senders,
    sandbox: () => sandbox?.sender ?? null,
    fromPolicy: config.fromPolicy,
    queue,
    store,
  });
  const policy = toRetryPolicy(config, backoffScale);
  const dispatchers: Dispatcher[] = [];
  const wallClock = watchWallClock({ queue, store });

  async function startDispatcher({ account, transport }: AccountTransport): Promise<void> {
    const shared = { queue, store, events, changes, policy, accounts, workers };
    const dispatcher = createDispatcher({ ...shared, account, transport });
    await account.join();
    dispatchers.push(dispatcher);
    dispatcher.start();
  }

  return {
    accounts,
    isSending: () => dispatchers.some((dispatcher) => dispatcher.isBusy()),
    async start() {
      await Promise.all(senders.map(startDispatcher));
    },
    async prepareFor(keys) {
      if (sandbox !== null || !keys.some(({ test }) => test)) return;
      // Few services have test keys: the simulator is loaded only for them.
      const { openSandbox } = await import('./sandbox.ts');
      sandbox = await openSandbox({ connections, backoffScale, deadlines });
      await startDispatcher(sandbox.sender);
    },
    async drain() {
      wallClock.stop();
      await Promise.all(dispatchers.map((dispatcher) => dispatcher.drain()));
    },
    async close() {
      await Promise.all(senders.map(({ transport }) => transport.close()));
      // An instance that fails to leave counts as gone once its heartbeat is missing.
      await Promise.allSettled(senders.map(({ account }) => account.leave()));
      await sandbox?.close();
    },
  };
}

function openSenders(options: DeliveryEngineOptions): Promise<AccountTransport[]> {
  const { config, sharedState, events, noticesOf, ca, backoffScale, deadlines, absentAfterMs } = options;
  const common = { sharedState, events, noticesOf, ca, backoffScale, deadlines, absentAfterMs };
  const shared = { ...config.smtp, ...common };
  return Promise.all(config.accounts.map((account) => openAccountTransport(account, shared)));
}

function toRetryPolicy({ retryForMs, onUncertain }: Config, backoffScale: number): RetryPolicy {
  return { retryForMs, onUncertain, backoffScale, random: Math.random };
}
