import { on, once } from 'node:events';
import { connect } from 'node:tls';
import { ImapFlow, type ImapFlowOptions } from 'imapflow';
import type { Simulator } from '../../../src/simulator/simulator.ts';
import { deliver, logInTo } from '../smtp/simulator-session.ts';

/** Opens a session of imapflow with its default behavior. Close it with `await using`. */
export async function openImapFlow(
  simulator: Simulator,
  auth: ImapFlowOptions['auth'] = { user: simulator.user, pass: simulator.password },
): Promise<ImapFlow & AsyncDisposable> {
  const client = new ImapFlow({
    host: '127.0.0.1',
    servername: 'localhost',
    port: simulator.imap.port,
    secure: true,
    auth,
    tls: { ca: simulator.ca },
    logger: false,
  });
  // The rejected command reports the error, too.
  client.on('error', () => {});
  await client.connect();
  return Object.assign(client, {
    async [Symbol.asyncDispose]() {
      if (client.usable) await client.logout();
    },
  });
}

/** Sends a message through the simulator, which files it to Sent Mail. */
export async function sendMail(
  simulator: Simulator,
  messageId: string,
  user = simulator.user,
): Promise<void> {
  using session = await logInTo(simulator, user);
  await deliver(session, ['ada@example.com'], mailOf(messageId, user));
}

export function mailOf(messageId: string, from = 'ada@example.com'): string {
  return `From: ${from}\r\nMessage-ID: ${messageId}\r\nSubject: Hi\r\n\r\nHi\r\n`;
}

/** An IMAP client that sends raw commands. */
export interface RawImap extends Disposable {
  /** Sends a command, and returns everything up to its tagged line, without the tag. */
  command(text: string): Promise<string>;
  write(text: string): void;
  /** Returns everything up to the first line that matches. Rejects if the connection closes first. */
  readTo(line: RegExp): Promise<string>;
  /** Everything that was not read, once the connection is closed. Rejects if it was lost. */
  readonly rest: Promise<string>;
}

/** Connects, reads the greeting, and logs in. */
export async function openRawImap(
  simulator: Simulator,
  { login = true }: { readonly login?: boolean } = {},
): Promise<RawImap> {
  const socket = connect({
    host: '127.0.0.1',
    port: simulator.imap.port,
    ca: simulator.ca,
    servername: 'localhost',
  });
  const closed = once(socket, 'close');
  // An error rejects `rest` and `readTo`, if they are used.
  closed.catch(() => {});
  const chunks = on(socket, 'data', { close: ['close'] });
  let received = '';
  let tag = 0;

  async function readTo(line: RegExp): Promise<string> {
    for (;;) {
      const match = line.exec(received);
      if (match) {
        const end = match.index + match[0].length;
        const text = received.slice(0, end);
        received = received.slice(end);
        return text;
      }
      const { value, done } = await chunks.next();
      if (done) throw new Error(`The server closed the connection after ${JSON.stringify(received)}`);
      received += value[0].toString('latin1');
    }
  }

  const client: RawImap = {
    async command(text) {
      tag += 1;
      socket.write(`t${tag} ${text}\r\n`, 'latin1');
      return (await readTo(new RegExp(`^t${tag} .*\\r\\n`, 'm'))).replace(`t${tag} `, '');
    },
    write: (text) => void socket.write(text, 'latin1'),
    readTo,
    get rest() {
      return closed.then(async () => {
        for await (const [chunk] of chunks) received += chunk.toString('latin1');
        return received;
      });
    },
    [Symbol.dispose]: () => socket.destroy(),
  };
  if (!login) return client;
  await readTo(/^\* OK .*\r\n/);
  await client.command(`LOGIN ${simulator.user} ${simulator.password}`);
  return client;
}
