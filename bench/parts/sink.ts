import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import { answerQuestions, readSetup } from './children.ts';
import { createSinkSession, GREETING, type Replies } from './sink-session.ts';

/** The sink's server and its login. */
export interface SinkHello {
  readonly url: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

const user = 'bench@simulator.test';
const password = 'abcdefghijklmnop';

/**
 * An SMTP server that accepts every message and costs next to nothing: TLS from the first byte, a
 * login, pipelining, no parsing of content.
 */
const { ca, cert, key } = createCertificate(['localhost']);
writeFileSync(readSetup<{ caFile: string }>().caFile, ca);

let accepted = 0;
/** Resolves once `accepted` reaches `count`. */
let waiter: { readonly count: number; readonly resolve: () => void } | null = null;
/** Replies that wait for `release`; null while none is withheld. */
let withheld: Map<TLSSocket, Replies> | null = null;

const server = createServer({ cert, key, noDelay: true }, (socket) => {
  const session = createSinkSession(user, password);
  socket.on('error', () => {});
  // A reply that cannot be sent accepts nothing.
  socket.once('close', () => withheld?.delete(socket));
  socket.on('data', (chunk: Buffer) => {
    const replies = session.receive(chunk);
    const earlier = withheld?.get(socket);
    if (withheld && (earlier || replies.accepted > 0)) {
      const text = (earlier?.text ?? '') + replies.text;
      withheld.set(socket, { text, accepted: (earlier?.accepted ?? 0) + replies.accepted });
      return;
    }
    write(socket, replies);
    if (session.ended) socket.end();
  });
  socket.write(GREETING);
});

function write(socket: TLSSocket, { text, accepted: count }: Replies) {
  if (text !== '') socket.write(text, 'latin1');
  accepted += count;
  if (waiter && accepted >= waiter.count) waiter.resolve();
}

await once(server.listen(0, '127.0.0.1'), 'listening');
const { port } = server.address() as AddressInfo;
answerQuestions({ url: `smtps://localhost:${port}`, port, user, password } satisfies SinkHello, {
  accepted: () => accepted,
  /** Resolves when `count` messages have been accepted in total. */
  async waitForAccepted(count: number) {
    if (accepted < count) await new Promise<void>((resolve) => (waiter = { count, resolve }));
    waiter = null;
  },
  /** From now on no message is accepted: the replies to the final dots wait. */
  hold() {
    withheld ??= new Map();
  },
  release() {
    const held = withheld ?? [];
    withheld = null;
    for (const [socket, replies] of held) write(socket, replies);
  },
  /** CPU time of this process so far, in ms. */
  cpuMs() {
    const { user: userUs, system } = process.cpuUsage();
    return (userUs + system) / 1000;
  },
});
