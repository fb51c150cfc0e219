import { hostname } from 'node:os';
import { createOAuth, type SimulatorOAuth } from './auth/token-issuer.ts';
import { type Controls, createControls } from './control/controls.ts';
import { createInspection } from './control/inspection.ts';
import { listen } from './listen.ts';
import type { AcceptedMessage, Counters, Transaction } from './message-log.ts';
import { GmailServer } from './smtp/smtp-server.ts';
import { createState } from './state.ts';
import { createCertificates } from './tls/certificate.ts';

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
  /** Addresses beside the login's own that may stand in From, as verified "Send mail as" addresses do. None unless given. */
  readonly aliases?: readonly string[];
  /** How many messages and transactions it keeps, the newest. */
  readonly retain?: number;
}

/** A Gmail that runs here, until it is closed. */
export interface Simulator extends Controls, AsyncDisposable {
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
  /** Its token endpoint. */
  readonly oauth: SimulatorOAuth;
  /** What it took, oldest first: answered with 250, or kept although the answer was lost on purpose (`answered: false`). */
  readonly messages: readonly AcceptedMessage[];
  /** Each MAIL FROM it accepted and what followed, oldest first. */
  readonly transactions: readonly Transaction[];
  /** Since the start, whatever was forgotten. */
  readonly counters: Counters;
  /** Resolves as soon as the condition holds, asked now and after each change. Rejects if it throws, or if the simulator closes first. */
  waitFor(condition: (simulator: Simulator) => boolean): Promise<void>;
  /** Ends every connection at once and frees the ports. */
  close(): Promise<void>;
}

/** @throws what the sockets say, as EADDRINUSE; nothing is left open then */
export async function openSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const {
    host = '127.0.0.1',
    user = 'demo@simulator.test',
    password = 'abcdefghijklmnop',
    aliases = [],
    retain = 1000,
  } = options;
  const state = createState(user, password, aliases, retain);
  const { journal, authenticator } = state;
  const certificates = createCertificates([
    ...new Set(['localhost', 'smtp.gmail.com', hostname(), '127.0.0.1', '::1', host]),
  ]);
  const starttls = new GmailServer(state, 'starttls', certificates.trusted);
  const tls = new GmailServer(state, 'implicit', certificates.trusted);
  const controls = createControls(state, { starttls, tls }, certificates);
  const inspection = createInspection(state, controls);

  async function close(): Promise<void> {
    journal.close();
    inspection.closeAllConnections();
    await Promise.all([starttls.shut(), tls.shut(), new Promise((resolve) => inspection.close(resolve))]);
  }

  try {
    const starttlsPort = await starttls.open(options.starttlsPort ?? 0, host);
    const tlsPort = await tls.open(options.tlsPort ?? 0, host);
    const httpPort = await listen(inspection, options.httpPort ?? 0, host);
    const simulator: Simulator = {
      ...controls,
      starttlsPort,
      tlsPort,
      httpPort,
      url: `smtp://localhost:${starttlsPort},smtps://localhost:${tlsPort}`,
      httpUrl: `http://127.0.0.1:${httpPort}`,
      ca: certificates.trusted.ca,
      oauth: createOAuth(state.tokens, `http://127.0.0.1:${httpPort}`),
      user,
      get password() {
        return authenticator.secret;
      },
      messages: journal.messages,
      transactions: journal.transactions,
      counters: journal.counters,
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
