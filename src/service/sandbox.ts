import { createMemorySharedState } from '../adapters/memory/shared-state.ts';
import { createEvents } from '../core/events.ts';
import { openSimulator } from '../simulator/simulator.ts';
import {
  type AccountTransport,
  type AccountTransportOptions,
  openAccountTransport,
} from './account-transport.ts';

/** The account that sends the mail of test keys. Never the address of a real account. */
const USER = 'test-key@simulator.test';
const UNLIMITED = Number.MAX_SAFE_INTEGER;
/** Messages that the simulator keeps. Few, as no client can read them. */
const RETAINED_MESSAGES = 10;

/** The account of test keys, with a simulator as its server. */
export interface Sandbox {
  readonly sender: AccountTransport;
  close(): Promise<void>;
}

/**
 * Opens the account that sends the mail of test keys. It takes the whole delivery path to a
 * built-in simulator and leads nowhere.
 */
export async function openSandbox({
  connections,
  backoffScale,
  deadlines,
}: Pick<AccountTransportOptions, 'connections' | 'backoffScale' | 'deadlines'>): Promise<Sandbox> {
  const gmail = await openSimulator({ user: USER, retain: RETAINED_MESSAGES });
  const sender = await openAccountTransport(
    {
      user: USER,
      credentials: () => ({ kind: 'app_password', password: gmail.password }),
      from: { email: USER, name: null },
      aliases: [],
      domains: [],
      daily: { messages: UNLIMITED, recipients: UNLIMITED },
      reserve: 0,
    },
    {
      servers: [{ host: 'localhost', port: gmail.starttlsPort, tls: 'starttls' }],
      connections,
      connectionsHere: connections,
      rate: null,
      ca: gmail.ca,
      backoffScale,
      deadlines,
      // Events of this account appear neither in the log nor in webhooks.
      events: createEvents(),
      // Each instance has its own simulator, so the state of this account is not shared.
      sharedState: createMemorySharedState(),
    },
  );
  async function close(): Promise<void> {
    await sender.transport.close();
    await gmail.close();
  }
  return { sender, close };
}
