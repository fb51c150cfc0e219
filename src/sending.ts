import type { Deadlines } from './adapters/smtp/server-options.ts';
import type { Config } from './config.ts';
import { type Accounts, createAccounts } from './core/accounts.ts';
import { createDispatcher, type Dispatcher } from './core/dispatcher.ts';
import type { Events } from './core/events.ts';
import type { Backend } from './core/ports.ts';
import { watchWallClock } from './core/wall-clock.ts';
import type { Sandbox } from './sandbox.ts';
import { type OpenSender, openSender } from './senders.ts';

export interface SendingOptions extends Pick<Backend, 'queue' | 'store' | 'books'> {
  readonly config: Config;
  readonly events: Events;
  readonly ca: string | null;
  readonly backoffScale: number;
  readonly deadlines: Deadlines | undefined;
  readonly absentAfterMs: number | undefined;
}

/** All that sends: the accounts of the configuration, the sandbox of test keys, and the lanes of each. */
export interface Sending {
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

export async function openSending(options: SendingOptions): Promise<Sending> {
  const { config, queue, store, books, events, ca, backoffScale, deadlines, absentAfterMs } = options;
  const { connections, connectionsHere } = config.smtp;
  const senders = await Promise.all(
    config.accounts.map((account) => openSender(account, { ...config.smtp, books, events, ca, backoffScale, deadlines, absentAfterMs })),
  );
  let sandbox: Sandbox | null = null;
  const accounts = createAccounts({ senders, sandbox: () => sandbox?.sender ?? null, fromPolicy: config.fromPolicy, queue, store });
  const policy = { retryForMs: config.retryForMs, onUncertain: config.onUncertain, backoffScale, random: Math.random };
  const dispatchers: Dispatcher[] = [];
  const wallClock = watchWallClock({ queue, store });

  async function startLanesOf({ account, transport }: OpenSender): Promise<void> {
    const dispatcher = createDispatcher({ queue, store, events, policy, accounts, account, transport, lanes: connectionsHere });
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
