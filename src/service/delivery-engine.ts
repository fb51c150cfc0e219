import type { Deadlines } from '../adapters/smtp/server-options.ts';
import type { Config } from '../config/config.ts';
import { type Accounts, createAccounts } from '../core/accounts/accounts.ts';
import { createDispatcher, type Dispatcher } from '../core/dispatch/dispatcher.ts';
import { watchWallClock } from '../core/dispatch/wall-clock.ts';
import type { Events } from '../core/events.ts';
import type { Backend } from '../core/ports/backend.ts';
import { type AccountTransport, openAccountTransport } from './account-transport.ts';
import type { Sandbox } from './sandbox.ts';

export interface DeliveryEngineOptions extends Pick<Backend, 'queue' | 'store' | 'sharedState'> {
  readonly config: Config;
  readonly events: Events;
  readonly ca: string | null;
  readonly backoffScale: number;
  readonly deadlines: Deadlines | undefined;
  readonly absentAfterMs: number | undefined;
}

/** All that sends: the accounts of the configuration, the sandbox of test keys, and the lanes of each. */
export interface DeliveryEngine {
  readonly accounts: Accounts;
  /** Begins to take what is due. */
  start(): Promise<void>;
  /** Sees to it that test keys, if there are some among these, have where to send to. */
  prepareFor(keys: Config['apiKeys']): Promise<void>;
  /** Takes no more and resolves when the attempts under way have ended and are recorded. */
  drain(): Promise<void>;
  /** Ends attempts that still run, and frees what they ran on. */
  close(): Promise<void>;
}

export async function openDeliveryEngine(options: DeliveryEngineOptions): Promise<DeliveryEngine> {
  const { config, queue, store, sharedState, events, ca, backoffScale, deadlines, absentAfterMs } = options;
  const { connections, connectionsHere } = config.smtp;
  const senders = await Promise.all(
    config.accounts.map((account) =>
      openAccountTransport(account, {
        ...config.smtp,
        sharedState,
        events,
        ca,
        backoffScale,
        deadlines,
        absentAfterMs,
      }),
    ),
  );
  let sandbox: Sandbox | null = null;
  const accounts = createAccounts({
    senders,
    sandbox: () => sandbox?.sender ?? null,
    fromPolicy: config.fromPolicy,
    queue,
    store,
  });
  const policy = {
    retryForMs: config.retryForMs,
    onUncertain: config.onUncertain,
    backoffScale,
    random: Math.random,
  };
  const dispatchers: Dispatcher[] = [];
  const wallClock = watchWallClock({ queue, store });

  async function startLanesOf({ account, transport }: AccountTransport): Promise<void> {
    const dispatcher = createDispatcher({
      queue,
      store,
      events,
      policy,
      accounts,
      account,
      transport,
      lanes: connectionsHere,
    });
    await account.join();
    dispatchers.push(dispatcher);
    dispatcher.start();
  }

  return {
    accounts,
    async start() {
      await Promise.all(senders.map(startLanesOf));
    },
    async prepareFor(keys) {
      if (sandbox !== null || !keys.some(({ test }) => test)) return;
      // Few have test keys: the simulator is loaded for those who do.
      const { openSandbox } = await import('./sandbox.ts');
      sandbox = await openSandbox({ connections, backoffScale, deadlines });
      await startLanesOf(sandbox.sender);
    },
    async drain() {
      wallClock.stop();
      await Promise.all(dispatchers.map((dispatcher) => dispatcher.drain()));
    },
    async close() {
      await Promise.all(senders.map(({ transport }) => transport.close()));
      // Who does not say so is found to be gone before long.
      await Promise.allSettled(senders.map(({ account }) => account.leave()));
      await sandbox?.close();
    },
  };
}
