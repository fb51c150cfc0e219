import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

/** The server's end of one connection. Scripts say what comes next; a client that leaves early ends the script quietly. */
export interface RawSession {
  /** The next line of the client, without its CRLF. @throws when it does not match: the test fails as the server is disposed of. */
  expect(line: RegExp): Promise<string>;
  /** Everything up to the final dot, as it came over the wire (dots still stuffed). */
  readUntilDot(): Promise<string>;
  /** Everything else that the client sends until it closes the connection. */
  readToEnd(): Promise<string>;
  /** Exactly these bytes. */
  send(bytes: string | Uint8Array): void;
  /** Closes the connection once what was sent has gone out. */
  drop(): void;
  /** Cuts the connection with a TCP reset. */
  reset(): void;
  /** 220, EHLO and its answer, with PIPELINING as Gmail offers it and whatever else is named. */
  greet(...extensions: string[]): Promise<void>;
  /** MAIL, one RCPT and DATA, each accepted. */
  acceptEnvelope(): Promise<void>;
}

export interface RawSmtp extends AsyncDisposable {
  readonly port: number;
  /** How many connections came so far. */
  readonly connections: number;
}

class ClientLeft extends Error {}

/**
 * An SMTP server that says exactly what a test wants said, byte for byte: the faults that no well-behaved server would play.
 *
 * @param script runs once per connection; `connection` counts from 1. The connection stays open when it returns.
 * @param certificate if given, the server speaks TLS from the first byte
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
      if (!(error instanceof ClientLeft)) failures.push(error);
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
      if (chunk.done) throw new ClientLeft();
      received += chunk.value;
    }
    const at = received.indexOf(end);
    const taken = received.slice(0, at);
    received = received.slice(at + end.length);
    return taken;
  }

  const io: RawSession = {
    async expect(line) {
      const got = await readUntil('\r\n');
      if (!line.test(got)) throw new Error(`expected ${line}, the client sent ${JSON.stringify(got)}`);
      return got;
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
        ['raw.test at your service', 'PIPELINING', ...extensions].map((word) => `250-${word}\r\n`).join(''),
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
