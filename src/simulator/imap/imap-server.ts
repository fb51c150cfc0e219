import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import { listen } from '../listen.ts';
import type { SimulatorState } from '../state.ts';
import type { Certificate } from '../tls/certificate.ts';

/** The IMAP port, with TLS from the first byte. Loads the protocol with the first connection. */
export class ImapServer {
  readonly #state: SimulatorState;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #context: SecureContext;
  #silent = false;
  #boundTo = { port: 0, host: '' };

  constructor(state: SimulatorState, certificate: Certificate) {
    this.#state = state;
    this.#context = createSecureContext(certificate);
    this.#server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  get port(): number {
    return this.#boundTo.port;
  }

  /**
   * Starts listening.
   *
   * @param port 0 selects a free port
   * @throws the error of the socket, such as EADDRINUSE
   */
  async open(port: number, host: string): Promise<void> {
    this.#boundTo = { port: await listen(this.#server, port, host), host };
  }

  /** Closes every connection at once and frees the port. */
  shutDown(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#closeConnections();
    });
  }

  /**
   * Closes every connection and blocks the port. Null reopens the same port.
   *
   * @throws the error of the socket, if another process has taken the port
   */
  async block(fault: 'refused' | 'silent' | null): Promise<void> {
    this.#silent = fault === 'silent';
    if (fault === 'refused') this.#server.close();
    this.#closeConnections();
    if (fault !== 'refused' && !this.#server.listening)
      await listen(this.#server, this.#boundTo.port, this.#boundTo.host);
  }

  /** Closes every connection. New ones get this certificate. */
  setCertificate(certificate: Certificate): void {
    this.#context = createSecureContext(certificate);
    this.#closeConnections();
  }

  #closeConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(tcp: Socket): void {
    const { counters, mailboxes } = this.#state.imap;
    counters.connections += 1;
    mailboxes.notifyListeners();
    tcp.on('error', () => {});
    if (this.#silent) {
      this.#track(tcp);
      // Reads and discards input, to notice when the client disconnects.
      tcp.resume();
      return;
    }
    const socket = new TLSSocket(tcp, { isServer: true, secureContext: this.#context });
    this.#track(socket);
    socket.on('error', () => {});
    socket.once('secure', async () => {
      const { Session } = await import('./session.ts');
      await new Session(this.#state, socket).run();
    });
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
