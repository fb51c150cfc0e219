import { once } from 'node:events';
import type { Server } from 'node:net';
import { hostname } from 'node:os';
import { createCertificate } from './certificate.ts';
import { createInspection } from './inspection.ts';
import type { AcceptedMessage, Counters, Transaction } from './journal.ts';
import type { LoginFault } from './logins.ts';
import { GmailServer } from './server.ts';
import { createState } from './state.ts';

export interface SimulatorOptions {
  /** Where to listen. Loopback unless told otherwise: whoever reaches it reads its mail. */
  readonly host?: string;
  /** Ports: 0, the default, takes any that is free. */
  readonly starttlsPort?: number;
  readonly tlsPort?: number;
  readonly httpPort?: number;
  /** The login it names as its own. Other user names get in with the same password. */
  readonly user?: string;
  /** The app password; for XOAUTH2 it is the access token. */
  readonly password?: string;
  /** How many messages and transactions it keeps, the newest. */
  readonly retain?: number;
}

/** A Gmail that runs here, until it is closed. */
export interface Simulator extends AsyncDisposable {
  readonly starttlsPort: number;
  readonly tlsPort: number;
  readonly httpPort: number;
  /** Both ports, as SMTP_URL takes them. */
  readonly url: string;
  /** Where its mail can be read. */
  readonly httpUrl: string;
  /** PEM of the authority that signed its certificate. */
  readonly ca: string;
  readonly user: string;
  readonly password: string;
  /** What it took, oldest first: answered with 250, or kept although the answer was lost on purpose (`answered: false`). */
  readonly messages: readonly AcceptedMessage[];
  /** Each MAIL FROM it accepted and what followed, oldest first. */
  readonly transactions: readonly Transaction[];
  /** Since the start, whatever was forgotten. */
  readonly counters: Counters;
  /** Changes the password for logins from now on. */
  setPassword(password: string): void;
  /** Makes every login fail in this way; null lets them in again. */
  setLoginFault(fault: LoginFault | null): void;
  /** Resolves as soon as the condition holds, asked now and after each change. Rejects if it throws, or if the simulator closes first. */
  waitFor(condition: (simulator: Simulator) => boolean): Promise<void>;
  /** Ends every connection at once and frees the ports. */
  close(): Promise<void>;
}

/** @throws what the sockets say, as EADDRINUSE; nothing is left open then */
export async function openSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { host = '127.0.0.1', user = 'demo@simulator.test', password = 'abcdefghijklmnop', retain = 1000 } = options;
  const state = createState(password, retain);
  const { journal, authenticator } = state;
  const certificate = createCertificate([...new Set(['localhost', 'smtp.gmail.com', hostname(), '127.0.0.1', '::1', host])]);
  const starttls = new GmailServer(state, 'starttls', certificate);
  const implicit = new GmailServer(state, 'implicit', certificate);
  const inspection = createInspection(state);

  async function close(): Promise<void> {
    journal.close();
    inspection.closeAllConnections();
    await Promise.all([starttls.shut(), implicit.shut(), new Promise((resolve) => inspection.close(resolve))]);
  }

  try {
    const starttlsPort = await listen(starttls.server, options.starttlsPort, host);
    const tlsPort = await listen(implicit.server, options.tlsPort, host);
    const httpPort = await listen(inspection, options.httpPort, host);
    const simulator: Simulator = {
      starttlsPort,
      tlsPort,
      httpPort,
      url: `smtp://localhost:${starttlsPort},smtps://localhost:${tlsPort}`,
      httpUrl: `http://127.0.0.1:${httpPort}`,
      ca: certificate.ca,
      user,
      get password() {
        return authenticator.secret;
      },
      messages: journal.messages,
      transactions: journal.transactions,
      counters: journal.counters,
      setPassword: (secret) => {
        authenticator.secret = secret;
      },
      setLoginFault: (fault) => {
        authenticator.fault = fault;
      },
      waitFor: (condition) => journal.waitFor(() => condition(simulator)),
      close,
      [Symbol.asyncDispose]: close,
    };
    return simulator;
  } catch (error) {
    await close();
    throw error;
  }
}

/** Resolves to the port. */
async function listen(server: Server, port: number | undefined, host: string): Promise<number> {
  server.listen(port ?? 0, host);
  await once(server, 'listening');
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : 0;
}
