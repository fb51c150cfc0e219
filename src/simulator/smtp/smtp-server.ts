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
import { authenticate, SUPPORTED_MECHANISMS } from './auth-extension.ts';
import { ChunkingConnection } from './chunking.ts';
import { type GmailConnection, SIZE } from './gmail-connection.ts';
import { dropsInBody, finishMessage, refusalAtMail, refusalAtRcpt } from './reply-rules.ts';

/** Gmail reportedly closes sessions that are idle for 15 minutes or more. */
const IDLE_MS = 15 * 60 * 1000;

/**
 * `refused`: the port is closed. `silent`: connections are accepted but get no greeting, as behind
 * a firewall that drops packets.
 */
export const PORT_FAULTS = ['refused', 'silent'] as const;
export type PortFault = (typeof PORT_FAULTS)[number];

type Callback = (error?: Error | null, reply?: string) => void;

/**
 * One SMTP port of the simulator. Callbacks get the name of the reply to send, as the message of an
 * error or as text.
 */
export class GmailServer extends SMTPServer {
  readonly #state: SimulatorState;
  readonly #connections = new WeakMap<SMTPServerSession, GmailConnection>();
  readonly #sockets = new Set<Socket>();
  #silent = false;
  #boundTo = { port: 0, host: '' };

  constructor(state: SimulatorState, tls: 'starttls' | 'implicit', certificate: Certificate) {
    super({
      secure: tls === 'implicit',
      key: certificate.key,
      cert: certificate.cert,
      minVersion: 'TLSv1.2',
      name: 'smtp.gmail.com',
      size: SIZE,
      maxRecipients: 100,
      authMethods: SUPPORTED_MECHANISMS,
      disabledCommands: ['XCLIENT', 'XFORWARD', 'WIZ', 'SHELL', 'KILL'],
      disableReverseLookup: true,
      socketTimeout: IDLE_MS,
    });
    this.#state = state;
    // Errors of a connection, such as an untrusted certificate or a lost connection, concern only
    // the client.
    this.on('error', () => {});
    this.server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      state.messageLog.count('connections');
    });
  }

  /** Closes every connection at once and frees the port. */
  shutDown(): Promise<void> {
    return new Promise((resolve) => {
      this.close(resolve);
      this.#closeConnections();
    });
  }

  /**
   * Starts listening.
   *
   * @param port 0 selects a free port
   * @returns the port
   * @throws the error of the socket, such as EADDRINUSE
   */
  async open(port: number, host: string): Promise<number> {
    this.#boundTo = { port: await listen(this.server, port, host), host };
    return this.#boundTo.port;
  }

  /**
   * Closes every connection and blocks the port. Null reopens the same port.
   *
   * @throws the error of the socket, if another process has taken the port
   */
  async block(fault: PortFault | null): Promise<void> {
    this.#silent = fault === 'silent';
    if (fault === 'refused') this.server.close();
    this.#closeConnections();
    if (fault !== 'refused' && !this.server.listening)
      await listen(this.server, this.#boundTo.port, this.#boundTo.host);
  }

  /** Closes every connection. New ones get this certificate. */
  setCertificate({ key, cert }: Certificate): void {
    this.updateSecureContext({ key, cert });
    this.#closeConnections();
  }

  /** Closes every connection. New ones are offered STARTTLS, or not. */
  offerStarttls(offered: boolean): void {
    this.options.hideSTARTTLS = !offered;
    this.#closeConnections();
  }

  /** Closes every connection. New ones need no login, or need one. */
  requireLogin(required: boolean): void {
    this.options.authOptional = !required;
    this.#closeConnections();
  }

  #closeConnections(): void {
    // During a handshake, the TLS socket must be destroyed: Node crashes if only the socket below
    // it is.
    for (const socket of this._pendingSockets.values()) socket.destroy();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Handles a new connection. Returns false to leave it without a greeting. */
  override _acceptSocket(socket: Socket, handshake: boolean): (() => void) | false {
    if (!this.#silent) return super._acceptSocket(socket, handshake);
    socket.on('error', () => {});
    // Reads and discards input, to notice when the client disconnects.
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
    authenticate(this.#state, auth, callback);
  }

  override onMailFrom(address: SMTPServerAddress, session: SMTPServerSession, callback: Callback): void {
    const refusal = refusalAtMail(this.#state, session, address.address);
    if (refusal === null)
      this.#connection(session).transaction = this.#state.messageLog.beginTransaction(address.address);
    callback(refusal && new Error(refusal));
  }

  override onRcptTo(address: SMTPServerAddress, session: SMTPServerSession, callback: Callback): void {
    const connection = this.#connection(session);
    const recipient = { email: address.address, reply: '' };
    connection.transaction?.recipients.push(recipient);
    connection.onceReplied((reply) => {
      recipient.reply = reply;
      this.#state.messageLog.notifyWaiters();
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
      finishMessage(this.#state, connection, content, (reply) => callback(null, reply));
    });
  }

  #connection(session: SMTPServerSession): GmailConnection {
    const connection = this.#connections.get(session);
    if (!connection) throw new Error('A session that did not begin with connect()');
    return connection;
  }
}
