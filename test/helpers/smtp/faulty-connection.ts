import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';

/**
 * Faults of a connection that replace a reply.
 *
 * - `drop`: close it, as when a process ends; `reset`: TCP reset; `half`: close it after half of
 *   the reply
 * - `hang`: stop sending and reading; `trickle`: stop reading, and send the reply and more, byte by
 *   byte, forever
 * - `flood`: a reply of megabytes; `garble`: a line that is not SMTP, after which the session
 *   continues
 */
export type ConnectionFault = 'drop' | 'reset' | 'half' | 'hang' | 'trickle' | 'flood' | 'garble';

/** Size of a flood, if the client reads all of it. */
export const FLOOD_BYTES = 32 * 1024 * 1024;
const FLOOD_LINE = `250-${'x'.repeat(64 * 1024)}\r\n`;
const TRICKLE_INTERVAL_MS = 40;

/** The connection is closed or no longer usable: ends the session. */
export class ConnectionLost extends Error {
  override readonly name = 'WireLost';
}

/**
 * The server's side of a connection. Every method throws ConnectionLost once the client has
 * disconnected.
 */
export interface ServerConnection {
  /** Returns the next line, without its CRLF. */
  readLine(): Promise<string>;
  /** Returns the text before the line with the final dot. It is still dot-stuffed. */
  readToDot(): Promise<string>;
  /** Resolves when there is data to read, without reading it. */
  untilReadable(): Promise<void>;
  send(text: string): void;
  /** Causes the fault instead of sending `reply`. Resolves only if the session continues. */
  causeFault(fault: ConnectionFault, reply: string): Promise<void>;
  close(): Promise<never>;
  /** Starts TLS, and returns the encrypted connection. This object must not be used afterwards. */
  startTls(context: SecureContext): ServerConnection;
}

/**
 * @param onFlood called for each part of a flood that the client has read
 * @param tcp the TCP socket below, if `socket` is TLS
 */
export function createServerConnection(
  socket: Socket,
  onFlood: (bytes: number) => void,
  tcp = socket,
): ServerConnection {
  let received = '';
  let lost = false;
  let wake = () => {};
  const onData = (chunk: Buffer) => {
    received += chunk.toString('latin1');
    wake();
  };
  socket.on('data', onData);
  socket.on('error', () => {});
  socket.once('close', () => {
    lost = true;
    wake();
  });

  async function nextEvent(): Promise<void> {
    if (lost) throw new ConnectionLost();
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }

  async function readTo(end: string): Promise<string> {
    const parts: string[] = [];
    for (;;) {
      const index = received.indexOf(end);
      // Text that cannot contain `end` is set aside: searching it again with each chunk takes
      // quadratic time.
      const length = index < 0 ? Math.max(0, received.length - end.length + 1) : index;
      parts.push(received.slice(0, length));
      received = received.slice(index < 0 ? length : index + end.length);
      if (index >= 0) return parts.join('');
      await nextEvent();
    }
  }

  async function untilLost(): Promise<never> {
    for (;;) await nextEvent();
  }

  function close(): Promise<never> {
    socket.end(() => socket.destroy());
    return untilLost();
  }

  function hang(): Promise<never> {
    socket.pause();
    return untilLost();
  }

  async function trickle(reply: string): Promise<never> {
    let sent = 0;
    const timer = setInterval(() => socket.write(reply[sent++] ?? 'x', 'latin1'), TRICKLE_INTERVAL_MS);
    return hang().finally(() => clearInterval(timer));
  }

  async function flood(): Promise<never> {
    for (let remaining = FLOOD_BYTES; remaining > 0; remaining -= FLOOD_LINE.length) {
      await new Promise<void>((resolve, reject) => {
        socket.write(FLOOD_LINE, (error) => (error ? reject(new ConnectionLost()) : resolve()));
      });
      onFlood(FLOOD_LINE.length);
    }
    return untilLost();
  }

  const send = (text: string) => void socket.write(text, 'latin1');

  return {
    readLine: () => readTo('\r\n'),
    async readToDot() {
      while (received.length < 3) await nextEvent();
      return received.startsWith('.\r\n') ? readTo('.\r\n') : readTo('\r\n.\r\n');
    },
    async untilReadable() {
      while (received === '') await nextEvent();
    },
    send,
    close,
    async causeFault(fault, reply) {
      switch (fault) {
        case 'garble':
          return send('what?\r\n');
        case 'drop':
          return close();
        case 'half':
          send(reply.slice(0, reply.length / 2));
          return close();
        case 'reset':
          tcp.resetAndDestroy();
          return untilLost();
        case 'hang':
          return hang();
        case 'trickle':
          return trickle(reply);
        case 'flood':
          return flood();
      }
    },
    startTls(context) {
      socket.off('data', onData);
      return createServerConnection(
        new TLSSocket(socket, { isServer: true, secureContext: context }),
        onFlood,
        tcp,
      );
    },
  };
}
