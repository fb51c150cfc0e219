import { on, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { openSimulator, type Simulator, type SimulatorOptions } from '../../../src/simulator/simulator.ts';

/** A simulator of the test's own, on ports that are free. Close it with `await using`. */
export function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  return openSimulator(options);
}

/** A client that says and hears bare SMTP. */
export interface RawSession extends Disposable {
  /** The next reply, all its lines, as it came over the wire. Rejects if the server hangs up first. */
  read(): Promise<string>;
  /** Sends one line, and reads the reply. */
  say(line: string): Promise<string>;
  write(text: string | Buffer): void;
  /** STARTTLS, and the handshake that follows. */
  startTls(): Promise<void>;
  /** Hangs up, after all that was written. */
  hangUp(): void;
  /** Resolves when the connection is gone. */
  readonly hungUp: Promise<unknown>;
}

/** Connects to one of the simulator's ports and hears its greeting. */
export async function dial(
  simulator: Simulator,
  tls: 'starttls' | 'implicit',
): Promise<RawSession & { readonly greeting: string }> {
  const trust = { ca: simulator.ca, servername: 'localhost' };
  const host = '127.0.0.1';
  let socket: Socket =
    tls === 'implicit'
      ? connectTls({ ...trust, host, port: simulator.tlsPort })
      : connect(simulator.starttlsPort, host);
  // A connection that is cut shows as one that has closed.
  socket.on('error', () => {});
  const hungUp = new Promise((resolve) => socket.once('close', resolve));
  let replies = repliesOf(socket);

  async function read(): Promise<string> {
    const { value, done } = await replies.next();
    if (done) throw new Error('The server hung up');
    return value;
  }

  return {
    greeting: await read(),
    read,
    say(line) {
      socket.write(`${line}\r\n`);
      return read();
    },
    write: (text) => socket.write(text),
    async startTls() {
      socket.write('STARTTLS\r\n');
      await read();
      await replies.return();
      socket = connectTls({ ...trust, socket });
      socket.on('error', () => {});
      replies = repliesOf(socket);
      await once(socket, 'secureConnect');
    },
    hangUp: () => socket.end(),
    hungUp,
    [Symbol.dispose]: () => socket.destroy(),
  };
}

/** A session on the TLS port that is logged in already. */
export async function dialIn(simulator: Simulator, user = simulator.user): Promise<RawSession> {
  const session = await dial(simulator, 'implicit');
  await session.say('EHLO client.test');
  const reply = await session.say(`AUTH PLAIN ${base64(`\0${user}\0${simulator.password}`)}`);
  if (!reply.startsWith('235')) throw new Error(reply);
  return session;
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** Cuts what arrives into replies: each goes up to the first line that is not `NNN-`. */
async function* repliesOf(socket: Socket): AsyncGenerator<string, void> {
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

/** Replies with what differs from session to session taken out. */
export function plain(reply: string): string {
  return reply
    .replace(/[0-9a-f]{13}-[0-9a-f]{11}sm\d{7}[0-9a-f]{2}\.\d+/g, '<id>')
    .replace(/OK {2}\d{10} /, 'OK  <time> ');
}

export async function plainly(reply: Promise<string>): Promise<string> {
  return plain(await reply);
}

export function lines(...parts: string[]): string {
  return parts.map((line) => `${line}\r\n`).join('');
}

export const SENDER_OK = '250 2.1.0 OK <id> - gsmtp\r\n';
export const RECIPIENT_OK = '250 2.1.5 OK <id> - gsmtp\r\n';
export const GO_AHEAD = '354  Go ahead <id> - gsmtp\r\n';
export const OK = '250 2.0.0 OK <id> - gsmtp\r\n';
export const ACCEPTED = '250 2.0.0 OK  <time> <id> - gsmtp\r\n';

/** MAIL, RCPT, DATA and a message with its dot, pipelined. Returns the plain reply to each, as many as came. */
export async function deliver(
  session: RawSession,
  recipients: string[],
  message = 'Subject: x\r\n\r\nx\r\n',
): Promise<string[]> {
  const commands = ['MAIL FROM:<bot@acme.test>', ...recipients.map((each) => `RCPT TO:<${each}>`), 'DATA'];
  session.write(lines(...commands));
  const replies: string[] = [];
  for (const _ of commands) replies.push(await plainly(session.read()));
  if (replies.at(-1) !== GO_AHEAD) return replies;
  session.write(`${message}.\r\n`);
  return [...replies, await plainly(session.read())];
}
