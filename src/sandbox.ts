import { createMemoryBooks } from './adapters/memory/books.ts';
import { createEvents } from './core/events.ts';
import { type OpenSender, openSender, type SenderOptions } from './senders.ts';
import { openSimulator } from './simulator/simulator.ts';

/** Who sends the mail of test keys. An account of nobody's, so that it is never mistaken for one of the operator's. */
const USER = 'test-key@simulator.test';
const UNLIMITED = Number.MAX_SAFE_INTEGER;
/** Messages the simulator keeps: nobody looks at them there. */
const RETAIN = 10;

/** Whose mail goes nowhere. */
export interface Sandbox {
  readonly sender: OpenSender;
  close(): Promise<void>;
}

/** A Gmail of our own for the mail of test keys: it goes the whole way, and nowhere. */
export async function openSandbox({
  connections,
  backoffScale,
  deadlines,
}: Pick<SenderOptions, 'connections' | 'backoffScale' | 'deadlines'>): Promise<Sandbox> {
  const gmail = await openSimulator({ user: USER, retain: RETAIN });
  const sender = await openSender(
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
      books: createMemoryBooks(),
    },
  );
  async function close(): Promise<void> {
    await sender.transport.close();
    await gmail.close();
  }
  return { sender, close };
}
