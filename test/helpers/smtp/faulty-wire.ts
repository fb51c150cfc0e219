import type { Socket } from 'node:net';
import { type SecureContext, TLSSocket } from 'node:tls';

/**
 * What a server can do to a connection in place of a reply.
 *
 * - `drop`: close it, as the end of a process does; `reset`: cut it with a TCP reset; `half`: close it in the middle of the reply
 * - `hang`: say and read nothing more; `trickle`: the same, but for the reply, a byte now and then and without an end
 * - `flood`: a reply of megabytes; `garble`: a line that is not SMTP, and go on
 */
export type Trick = 'drop' | 'reset' | 'half' | 'hang' | 'trickle' | 'flood' | 'garble';

/** How much a flood is, if the client takes it all. */
export const FLOOD_BYTES = 32 * 1024 * 1024;
const FLOOD_LINE = `250-${'x'.repeat(64 * 1024)}\r\n`;
const TRICKLE_EVERY_MS = 40;

/** The connection is gone, or of no more use: the end of a session. */
export class WireLost extends Error {
  override readonly name = 'WireLost';
}

/** The server's end of a connection. @throws {WireLost} whatever it is asked for, once the client has left */
export interface Wire {
  /** The next line, without its CRLF. */
  readLine(): Promise<string>;
  /** Everything before the line with the final dot, other dots still stuffed. */
  readToDot(): Promise<string>;
  /** Resolves when there is something to read, and takes nothing. */
  arrival(): Promise<void>;
  send(text: string): void;
  /** Plays the trick in place of that reply. Returns only if the session goes on. */
  play(trick: Trick, reply: string): Promise<void>;
  hangUp(): Promise<never>;
  /** The server's side of TLS, on the same connection. This wire is not to be used any more. */
  startTls(context: SecureContext): Wire;
}

/**
 * @param onFlood told of each part of a flood that the client took
 * @param tcp the socket that carries it, if `socket` is TLS
 */
export function createWire(socket: Socket, onFlood: (bytes: number) => void, tcp = socket): Wire {
  let received = '';
  let lost = false;
  let wake = () => {};
  const hear = (chunk: Buffer) => {
    received += chunk.toString('latin1');
    wake();
  };
  socket.on('data', hear);
  socket.on('error', () => {});
  socket.once('close', () => {
    lost = true;
    wake();
  });

  async function anything(): Promise<void> {
    if (lost) throw new WireLost();
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  }

  async function readTo(end: string): Promise<string> {
    const parts: string[] = [];
    for (;;) {
      const at = received.indexOf(end);
      // What cannot be part of the end is put aside: to search it again with each chunk would take quadratic time.
      const taken = at < 0 ? Math.max(0, received.length - end.length + 1) : at;
      parts.push(received.slice(0, taken));
      received = received.slice(at < 0 ? taken : at + end.length);
      if (at >= 0) return parts.join('');
      await anything();
    }
  }

  async function untilLost(): Promise<never> {
    for (;;) await anything();
  }

  function hangUp(): Promise<never> {
    socket.end(() => socket.destroy());
    return untilLost();
  }

  function hang(): Promise<never> {
    socket.pause();
    return untilLost();
  }

  async function trickle(reply: string): Promise<never> {
    let sent = 0;
    const timer = setInterval(() => socket.write(reply[sent++] ?? 'x', 'latin1'), TRICKLE_EVERY_MS);
    return hang().finally(() => clearInterval(timer));
  }

  async function flood(): Promise<never> {
    for (let left = FLOOD_BYTES; left > 0; left -= FLOOD_LINE.length) {
      await new Promise<void>((resolve, reject) => {
        socket.write(FLOOD_LINE, (error) => (error ? reject(new WireLost()) : resolve()));
      });
      onFlood(FLOOD_LINE.length);
    }
    return untilLost();
  }

  const send = (text: string) => void socket.write(text, 'latin1');

  return {
    readLine: () => readTo('\r\n'),
    async readToDot() {
      while (received.length < 3) await anything();
      return received.startsWith('.\r\n') ? readTo('.\r\n') : readTo('\r\n.\r\n');
    },
    async arrival() {
      while (received === '') await anything();
    },
    send,
    hangUp,
    async play(trick, reply) {
      switch (trick) {
        case 'garble':
          return send('what?\r\n');
        case 'drop':
          return hangUp();
        case 'half':
          send(reply.slice(0, reply.length / 2));
          return hangUp();
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
      socket.off('data', hear);
      return createWire(new TLSSocket(socket, { isServer: true, secureContext: context }), onFlood, tcp);
    },
  };
}
