import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

/**
 * The server's side of one connection. A client that disconnects early ends the script without an
 * error.
 */
export interface RawSession {
  /**
   * Returns the client's next line, without its CRLF. Throws if it does not match: disposing of the
   * server then fails the test.
   */
  expect(line: RegExp): Promise<string>;
  /** Returns the text up to the final dot, as received. It is still dot-stuffed. */
  readUntilDot(): Promise<string>;
  /** Returns the rest of what the client sends until it closes the connection. */
  readToEnd(): Promise<string>;
  /** Sends exactly these bytes. */
  send(bytes: string | Uint8Array): void;
  /** Closes the connection after everything was sent. */
  drop(): void;
  /** Ends the connection with a TCP reset. */
  reset(): void;
  /**
   * Sends 220 and replies to EHLO, with PIPELINING as Gmail offers it, and with the given
   * extensions.
   */
  greet(...extensions: string[]): Promise<void>;
  /** Accepts MAIL, one RCPT and DATA. */
  acceptEnvelope(): Promise<void>;
}

export interface RawSmtp extends AsyncDisposable {
  readonly port: number;
  /** Number of connections so far. */
  readonly connections: number;
}

class ClientDisconnected extends Error {}

/**
 * Starts an SMTP server whose bytes are scripted by the test, for faults that no correct server
 * has.
 *
 * @param script runs once per connection; `connection` counts from 1. The connection stays open
 *   when it returns.
 * @param certificate if given, the server uses TLS from the first byte
 */
export async function startRawSmtp(
  script: (io: RawSession, connection: number) => Promise<void>,
  certificate?: { readonly cert: string; readonly key: string },
): Promise<RawSmtp> {
  const sockets = new Set<Socket>();
  const failures: unknown[] = [];
  let connections = 0;

  const serve = (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    script(createSession(socket), ++connections).catch((error: unknown) => {
      if (!(error instanceof ClientDisconnected)) failures.push(error);
      socket.destroy();
    });
  };
  const server = certificate ? createTlsServer(certificate, serve) : createServer(serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
      if (failures.length > 0) throw failures[0];
    },
  };
}

function createSession(socket: Socket): RawSession {
  socket.setEncoding('latin1');
  socket.on('error', () => {});
  const chunks = socket[Symbol.asyncIterator]();
  let received = '';

  async function readUntil(end: string): Promise<string> {
    while (!received.includes(end)) {
      const chunk = await chunks.next().catch(() => ({ done: true, value: undefined }));
      if (chunk.done) throw new ClientDisconnected();
      received += chunk.value;
    }
    const at = received.indexOf(end);
    const text = received.slice(0, at);
    received = received.slice(at + end.length);
    return text;
  }

  const io: RawSession = {
    async expect(line) {
      const actual = await readUntil('\r\n');
      if (!line.test(actual)) throw new Error(`expected ${line}, the client sent ${JSON.stringify(actual)}`);
      return actual;
    },
    readUntilDot: () => readUntil('\r\n.\r\n'),
    async readToEnd() {
      let rest = received;
      for (let chunk = await chunks.next(); !chunk.done; chunk = await chunks.next()) rest += chunk.value;
      return rest;
    },
    send: (bytes) => void socket.write(bytes),
    drop: () => void socket.end(() => socket.destroy()),
    reset: () => void socket.resetAndDestroy(),
    async greet(...extensions) {
      io.send('220 raw.test ESMTP\r\n');
      await io.expect(/^EHLO /);
      io.send(
        ['raw.test at your service', 'PIPELINING', ...extensions]
          .map((extension) => `250-${extension}\r\n`)
          .join(''),
      );
      io.send('250 SMTPUTF8\r\n');
    },
    async acceptEnvelope() {
      await io.expect(/^MAIL FROM:/);
      await io.expect(/^RCPT TO:/);
      await io.expect(/^DATA$/);
      io.send('250 2.1.0 OK\r\n250 2.1.5 OK\r\n354 Go ahead\r\n');
    },
  };
  return io;
}
