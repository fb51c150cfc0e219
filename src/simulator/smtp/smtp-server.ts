import type { Socket } from 'node:net';
import {
  SMTPServer,
  type SMTPServerAddress,
  type SMTPServerAuthentication,
  type SMTPServerAuthenticationResponse,
  type SMTPServerDataStream,
  type SMTPServerSession,
} from 'smtp-server';
import type { SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import { listen } from '../listen.ts';
import type { SimulatorState } from '../state.ts';
import type { Certificate } from '../tls/certificate.ts';
import { ChunkingConnection } from './chunking.ts';
import { type GmailConnection, type Login, SIZE } from './gmail-connection.ts';
import { dropsInBody, refusalAtMail, refusalAtRcpt, settle } from './reply-rules.ts';

/** Gmail is said to cut sessions that idle for 15 minutes or more. */
const IDLE_MS = 15 * 60 * 1000;

/** `refused`: the port is closed. `silent`: connections are taken and never greeted, which is what a firewall that drops looks like from here. */
export const PORT_FAULTS = ['refused', 'silent'] as const;
export type PortFault = (typeof PORT_FAULTS)[number];

type Callback = (error?: Error | null, reply?: string) => void;

/** One port of the simulator. An error's message, and the text given with success, name the reply to send. */
export class GmailServer extends SMTPServer {
  readonly #state: SimulatorState;
  readonly #connections = new WeakMap<SMTPServerSession, GmailConnection>();
  readonly #sockets = new Set<Socket>();
  #silent = false;
  #place = { port: 0, host: '' };

  constructor(state: SimulatorState, tls: 'starttls' | 'implicit', certificate: Certificate) {
    super({
      secure: tls === 'implicit',
      key: certificate.key,
      cert: certificate.cert,
      minVersion: 'TLSv1.2',
      name: 'smtp.gmail.com',
      size: SIZE,
      maxRecipients: 100,
      authMethods: ['LOGIN', 'PLAIN', 'XOAUTH2'],
      disabledCommands: ['XCLIENT', 'XFORWARD', 'WIZ', 'SHELL', 'KILL'],
      disableReverseLookup: true,
      socketTimeout: IDLE_MS,
    });
    this.#state = state;
    // What goes wrong with a connection is the client's to know: that it mistrusts the certificate, that it hung up.
    this.on('error', () => {});
    this.server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      state.journal.count('connections');
    });
  }

  /** Ends every connection at once and frees the port. */
  shut(): Promise<void> {
    return new Promise((resolve) => {
      this.close(resolve);
      this.#disconnect();
    });
  }

  /**
   * @param port 0 takes any that is free
   * @returns the port
   * @throws what the socket says, as EADDRINUSE
   */
  async open(port: number, host: string): Promise<number> {
    this.#place = { port: await listen(this.server, port, host), host };
    return this.#place.port;
  }

  /**
   * Ends every connection, and blocks the port or, by null, opens it again under the same number.
   *
   * @throws what the socket says, if another process has taken the port
   */
  async block(fault: PortFault | null): Promise<void> {
    this.#silent = fault === 'silent';
    if (fault === 'refused') this.server.close();
    this.#disconnect();
    if (fault !== 'refused' && !this.server.listening)
      await listen(this.server, this.#place.port, this.#place.host);
  }

  /** Ends every connection; those to come see this certificate. */
  present({ key, cert }: Certificate): void {
    this.updateSecureContext({ key, cert });
    this.#disconnect();
  }

  /** Ends every connection; those to come may ask for STARTTLS, or not. */
  offerStarttls(offered: boolean): void {
    this.options.hideSTARTTLS = !offered;
    this.#disconnect();
  }

  #disconnect(): void {
    // In the middle of a handshake it is the TLS socket that must go: Node does not survive the loss of the one below.
    for (const socket of this._pendingSockets.values()) socket.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** The first that happens to a connection; false leaves it at that. */
  override _acceptSocket(socket: Socket, handshake: boolean): (() => void) | false {
    if (!this.#silent) return super._acceptSocket(socket, handshake);
    socket.on('error', () => {});
    // What the client says is read, to see it leave.
    socket.resume();
    return false;
  }

  override connect(socket: Socket, options?: SMTPConnectionOptions | null): void {
    const connection = new ChunkingConnection(this.#state, this, socket, options);
    this.#connections.set(connection.session, connection);
    this.connections.add(connection);
    connection.on('error', () => {});
    connection.init();
  }

  override onConnect(_session: SMTPServerSession, callback: Callback): void {
    callback();
  }

  override onSecure(_socket: Socket, _session: SMTPServerSession, callback: Callback): void {
    callback();
  }

  override onAuth(
    auth: SMTPServerAuthentication,
    _session: SMTPServerSession,
    callback: (error: Error | null, response?: SMTPServerAuthenticationResponse) => void,
  ): void {
    const { method, username = '' } = auth;
    const { journal, authenticator, tokens } = this.#state;
    const secret = (method === 'XOAUTH2' ? auth.accessToken : auth.password) ?? '';
    const trusted = method === 'XOAUTH2' && tokens.accepts(username, secret);
    const refusal = authenticator.refusal(username, trusted ? authenticator.secret : secret);
    journal.count(refusal === null ? 'logins' : 'failedLogins');
    if (refusal === null) {
      const user: Login = { username, method, token: trusted ? secret : null };
      callback(null, { user });
    } else if (method === 'XOAUTH2' && refusal === 'badCredentials') {
      // A bad token is told as a challenge, which the client answers with an empty line; only then comes the 535.
      callback(null, { data: { status: '400', schemes: 'Bearer', scope: 'https://mail.google.com/' } });
    } else {
      callback(new Error(refusal));
    }
  }

  override onMailFrom(address: SMTPServerAddress, session: SMTPServerSession, callback: Callback): void {
    const refusal = refusalAtMail(this.#state, session.user);
    if (refusal === null) this.#connection(session).transaction = this.#state.journal.begin(address.address);
    callback(refusal && new Error(refusal));
  }

  override onRcptTo(address: SMTPServerAddress, session: SMTPServerSession, callback: Callback): void {
    const connection = this.#connection(session);
    const recipient = { email: address.address, reply: '' };
    connection.transaction?.recipients.push(recipient);
    connection.onceReplied((reply) => {
      recipient.reply = reply;
      this.#state.journal.changed();
    });
    const refusal = refusalAtRcpt(this.#state, connection, address.address);
    callback(refusal && new Error(refusal));
  }

  override onData(stream: SMTPServerDataStream, session: SMTPServerSession, callback: Callback): void {
    const connection = this.#connection(session);
    if (dropsInBody(connection)) {
      stream.once('data', () => connection.drop());
      return;
    }
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => {
      if (!stream.sizeExceeded) chunks.push(chunk);
    });
    stream.once('end', () => {
      const content = stream.sizeExceeded ? null : Buffer.concat(chunks);
      settle(this.#state, connection, content, (reply) => callback(null, reply));
    });
  }

  #connection(session: SMTPServerSession): GmailConnection {
    const connection = this.#connections.get(session);
    if (!connection) throw new Error('A session that did not begin with connect()');
    return connection;
  }
}
