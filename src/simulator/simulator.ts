import { hostname } from 'node:os';
import { createControlServer } from './control/control-server.ts';
import { type Controls, createControls } from './control/controls.ts';
import { createImap, type SimulatorImap } from './control/imap-routes.ts';
import { createOAuth, type SimulatorOAuth } from './control/token-routes.ts';
import { ImapServer } from './imap/imap-server.ts';
import { listen } from './listen.ts';
import type { AcceptedMessage, Counters, Transaction } from './message-log.ts';
import { GmailServer } from './smtp/smtp-server.ts';
import { createState } from './state.ts';
import { createCertificates } from './tls/certificate.ts';

export interface SimulatorOptions {
  /** Address to listen on, loopback by default: any client that can connect can read the mail. */
  readonly host?: string;
  /** Ports; 0, the default, selects a free one. */
  readonly starttlsPort?: number;
  readonly tlsPort?: number;
  readonly imapPort?: number;
  readonly httpPort?: number;
  /** User name that the simulator announces. Other user names can log in with the same password. */
  readonly user?: string;
  /** The app password, also accepted as an access token for XOAUTH2. */
  readonly password?: string;
  /**
   * Addresses that may be used in From beside the login's own, like verified "Send mail as"
   * addresses. None by default.
   */
  readonly aliases?: readonly string[];
  /** Number of messages and of transactions to keep: the newest 1000 by default. */
  readonly retain?: number;
}

/** A running simulator of Gmail's SMTP and IMAP servers and its token endpoint. */
export interface Simulator extends Controls, AsyncDisposable {
  readonly starttlsPort: number;
  readonly tlsPort: number;
  readonly httpPort: number;
  /** Both SMTP ports, as a value of SMTP_URL. */
  readonly url: string;
  /** URL of the HTTP port, which lists the received mail. */
  readonly httpUrl: string;
  /** PEM of the CA that signed the certificate. */
  readonly ca: string;
  readonly user: string;
  readonly password: string;
  /** The IMAP server and the mailboxes. */
  readonly imap: SimulatorImap;
  /** The token endpoint. */
  readonly oauth: SimulatorOAuth;
  /**
   * Stored messages, oldest first: accepted with 250, or with a reply that was withheld on purpose
   * (`answered: false`).
   */
  readonly messages: readonly AcceptedMessage[];
  /** Transactions with an accepted MAIL FROM, oldest first. */
  readonly transactions: readonly Transaction[];
  /** Totals since the start, including messages that were dropped or deleted. */
  readonly counters: Counters;
  /**
   * Resolves once the condition is true; it is checked now and after each change. Rejects if it
   * throws, or if the simulator closes.
   */
  waitFor(condition: (simulator: Simulator) => boolean): Promise<void>;
  /** Closes every connection at once and frees the ports. */
  close(): Promise<void>;
}

/**
 * Starts a simulator.
 *
 * @throws the error of a socket, such as EADDRINUSE; nothing stays open then
 */
export async function openSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const {
    host = '127.0.0.1',
    user = 'demo@simulator.test',
    password = 'abcdefghijklmnop',
    aliases = [],
    retain = 1000,
  } = options;
  const state = createState(user, password, aliases, retain);
  const { messageLog, authenticator } = state;
  state.imap.mailboxes.onChange(() => messageLog.notifyWaiters());
  const certificates = createCertificates([
    ...new Set([
      'localhost',
      'smtp.gmail.com',
      'smtp-relay.gmail.com',
      'imap.gmail.com',
      hostname(),
      '127.0.0.1',
      '::1',
      host,
    ]),
  ]);
  const starttls = new GmailServer(state, 'starttls', certificates.trusted);
  const tls = new GmailServer(state, 'implicit', certificates.trusted);
  const imapServer = new ImapServer(state, certificates.trusted);
  const imap = createImap(state.imap, user, imapServer);
  const controls = createControls(state, { starttls, tls, imap: imapServer }, certificates);
  const controlServer = createControlServer(state, controls, imap);

  async function close(): Promise<void> {
    messageLog.close();
    state.imap.mailboxes.cancelPending();
    controlServer.closeAllConnections();
    await Promise.all([
      starttls.shutDown(),
      tls.shutDown(),
      imapServer.shutDown(),
      new Promise((resolve) => controlServer.close(resolve)),
    ]);
  }

  try {
    const starttlsPort = await starttls.open(options.starttlsPort ?? 0, host);
    const tlsPort = await tls.open(options.tlsPort ?? 0, host);
    await imapServer.open(options.imapPort ?? 0, host);
    const httpPort = await listen(controlServer, options.httpPort ?? 0, host);
    const simulator: Simulator = {
      ...controls,
      starttlsPort,
      tlsPort,
      httpPort,
      url: `smtp://localhost:${starttlsPort},smtps://localhost:${tlsPort}`,
      httpUrl: `http://127.0.0.1:${httpPort}`,
      ca: certificates.trusted.ca,
      imap,
      oauth: createOAuth(state.tokens, `http://127.0.0.1:${httpPort}`),
      user,
      get password() {
        return authenticator.secret;
      },
      messages: messageLog.messages,
      transactions: messageLog.transactions,
      counters: messageLog.counters,
      waitFor: (condition) => messageLog.waitFor(() => condition(simulator)),
      close,
      [Symbol.asyncDispose]: close,
    };
    return simulator;
  } catch (error) {
    await close();
    throw error;
  }
}
