import { createMemorySharedState } from '../adapters/memory/shared-state.ts';
import { createEvents } from '../core/events.ts';
import { openSimulator } from '../simulator/simulator.ts';
import {
  type AccountTransport,
  type AccountTransportOptions,
  openAccountTransport,
} from './account-transport.ts';

/** Who sends the mail of test keys. An account of nobody's, so that it is never mistaken for one of the operator's. */
const USER = 'test-key@simulator.test';
const UNLIMITED = Number.MAX_SAFE_INTEGER;
/** Messages the simulator keeps: nobody looks at them there. */
const RETAIN = 10;

/** Whose mail goes nowhere. */
export interface Sandbox {
  readonly sender: AccountTransport;
  close(): Promise<void>;
}

/** A Gmail of our own for the mail of test keys: it goes the whole way, and nowhere. */
export async function openSandbox({
  connections,
  backoffScale,
  deadlines,
}: Pick<AccountTransportOptions, 'connections' | 'backoffScale' | 'deadlines'>): Promise<Sandbox> {
  const gmail = await openSimulator({ user: USER, retain: RETAIN });
  const sender = await openAccountTransport(
    {
      user: USER,
      credentials: () => ({ kind: 'app_password', password: gmail.password }),
      from: { email: USER, name: null },
      aliases: [],
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
      // What befalls this account is nobody's concern: neither the log nor a webhook tells of it.
      events: createEvents(),
      // Each instance has a simulator of its own, and so an account.
      sharedState: createMemorySharedState(),
    },
  );
  async function close(): Promise<void> {
    await sender.transport.close();
    await gmail.close();
  }
  return { sender, close };
}
