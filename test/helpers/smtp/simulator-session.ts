import { on, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { openSimulator, type Simulator, type SimulatorOptions } from '../../../src/simulator/simulator.ts';

/** Starts a simulator on free ports. Close it with `await using`. */
export function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  return openSimulator(options);
}

/** An SMTP client that sends and reads raw lines. */
export interface RawClient extends Disposable {
  /**
   * Returns the next reply with all its lines, as received. Rejects if the server closes the
   * connection first.
   */
  read(): Promise<string>;
  /** Sends one line, and returns the reply. */
  command(line: string): Promise<string>;
  write(text: string | Buffer): void;
  /** Sends STARTTLS and performs the handshake. */
  startTls(): Promise<void>;
  /** Closes the connection after everything was written. */
  end(): void;
  /** Resolves when the connection is closed. */
  readonly closed: Promise<unknown>;
}

/** Connects to one of the simulator's ports, and reads the greeting. */
export async function connectTo(
  simulator: Simulator,
  tls: 'starttls' | 'implicit',
): Promise<RawClient & { readonly greeting: string }> {
  const tlsOptions = { ca: simulator.ca, servername: 'localhost' };
  const host = '127.0.0.1';
  let socket: Socket =
    tls === 'implicit'
      ? connectTls({ ...tlsOptions, host, port: simulator.tlsPort })
      : connect(simulator.starttlsPort, host);
  // Errors show as a closed connection.
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  let replies = readReplies(socket);

  async function read(): Promise<string> {
    const { value, done } = await replies.next();
    if (done) throw new Error('The server closed the connection');
    return value;
  }

  return {
    greeting: await read(),
    read,
    command(line) {
      socket.write(`${line}\r\n`);
      return read();
    },
    write: (text) => socket.write(text),
    async startTls() {
      socket.write('STARTTLS\r\n');
      await read();
      await replies.return();
      socket = connectTls({ ...tlsOptions, socket });
      socket.on('error', () => {});
      replies = readReplies(socket);
      await once(socket, 'secureConnect');
    },
    end: () => socket.end(),
    closed,
    [Symbol.dispose]: () => socket.destroy(),
  };
}

/** Opens a session on the TLS port, and logs in. */
export async function logInTo(simulator: Simulator, user = simulator.user): Promise<RawClient> {
  const session = await connectTo(simulator, 'implicit');
  await session.command('EHLO client.test');
  const reply = await session.command(`AUTH PLAIN ${base64(`\0${user}\0${simulator.password}`)}`);
  if (!reply.startsWith('235')) throw new Error(reply);
  return session;
}

/** Posts to a control route. Returns the body of the response, undefined if it is empty. */
export async function control(simulator: Simulator, path: string, body: unknown): Promise<unknown> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(simulator.httpUrl + path, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return response.status === 204 ? undefined : response.json();
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** Splits the received data into replies: each ends with the first line that is not `NNN-`. */
async function* readReplies(socket: Socket): AsyncGenerator<string, void> {
  let text = '';
  for await (const [chunk] of on(socket, 'data', { close: ['close'] })) {
    text += chunk;
    for (let reply = firstReply(text); reply; reply = firstReply(text)) {
      text = text.slice(reply.length);
      yield reply;
    }
  }
}

function firstReply(text: string): string | undefined {
  return /^(?:\d{3}-.*\r\n)*(?!\d{3}-).*\r\n/.exec(text)?.[0];
}

/** Replaces the parts of a reply that differ between sessions. */
export function normalize(reply: string): string {
  return reply
    .replace(/[0-9a-f]{13}-[0-9a-f]{11}sm\d{7}[0-9a-f]{2}\.\d+/g, '<id>')
    .replace(/OK {2}\d{10} /, 'OK  <time> ');
}

export async function normalizeReply(reply: Promise<string>): Promise<string> {
  return normalize(await reply);
}

export function lines(...parts: string[]): string {
  return parts.map((line) => `${line}\r\n`).join('');
}

export const SENDER_OK = '250 2.1.0 OK <id> - gsmtp\r\n';
export const RECIPIENT_OK = '250 2.1.5 OK <id> - gsmtp\r\n';
export const GO_AHEAD = '354  Go ahead <id> - gsmtp\r\n';
export const OK = '250 2.0.0 OK <id> - gsmtp\r\n';
export const ACCEPTED = '250 2.0.0 OK  <time> <id> - gsmtp\r\n';

/** Sends MAIL, RCPT, DATA and a message with its dot, pipelined. Returns the normalized replies. */
export async function deliver(
  session: RawClient,
  recipients: string[],
  message: string | Buffer = 'Subject: x\r\n\r\nx\r\n',
): Promise<string[]> {
  const commands = ['MAIL FROM:<bot@acme.test>', ...recipients.map((each) => `RCPT TO:<${each}>`), 'DATA'];
  session.write(lines(...commands));
  const replies: string[] = [];
  for (const _ of commands) replies.push(await normalizeReply(session.read()));
  if (replies.at(-1) !== GO_AHEAD) return replies;
  session.write(message);
  session.write('.\r\n');
  return [...replies, await normalizeReply(session.read())];
}
