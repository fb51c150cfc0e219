import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:tls';
import { type Certificate, createCertificate } from '../../../src/simulator/tls/certificate.ts';

/** Where the connection of the client is cut. In the first case the server receives no message. */
export const CUTS = ['before-dot', 'after-dot', 'after-reply'] as const;
export type Cut = (typeof CUTS)[number];

export interface CuttingProxyOptions {
  /** Port of the server, which uses TLS from the first byte. */
  readonly port: number;
  /** PEM of the CA of the server. */
  readonly ca: string;
  readonly certificate?: Certificate;
  /**
   * Called for each message once it has been sent up to its dot. Null passes it on.
   *
   * @param messages number of messages so far, with this one
   */
  readonly cut: (messages: number) => Cut | null;
}

/** A proxy between a client and an SMTP server. It hides some replies to messages. */
export interface CuttingProxy extends AsyncDisposable {
  /** Value of SMTP_URL: TLS from the first byte. */
  readonly url: string;
  /** PEM of the CA that signed its certificate for localhost. */
  readonly ca: string;
  /** Numbers of messages that were sent up to their dot, and of those that were cut. */
  readonly counters: { readonly messages: number; readonly cuts: number };
}

/** Returns a plan that cuts this share of the messages, at a random place. */
export function cutAtRandom(random: () => number, share: number): CuttingProxyOptions['cut'] {
  return () => (random() < share ? (CUTS[Math.floor(random() * CUTS.length)] ?? null) : null);
}

export async function startCuttingProxy({
  port,
  ca,
  certificate = createCertificate(['localhost']),
  cut,
}: CuttingProxyOptions): Promise<CuttingProxy> {
  const counters = { messages: 0, cuts: 0 };
  const sockets = new Set<Socket>();
  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    // A lost connection is part of the test.
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  };

  const server = createServer({ key: certificate.key, cert: certificate.cert }, (client) => {
    const upstream = connect({ host: '127.0.0.1', port, ca, servername: 'localhost' });
    track(client);
    track(upstream);
    let isMessage = false;
    let lastBytes = '';
    let planned: Cut | null = null;

    function cutClient(): void {
      counters.cuts += 1;
      client.destroy();
    }

    client.on('data', (chunk: Buffer) => {
      lastBytes = (lastBytes + chunk.toString('latin1')).slice(-5);
      const hasEnded = isMessage && lastBytes === '\r\n.\r\n';
      if (hasEnded) {
        isMessage = false;
        counters.messages += 1;
        planned = cut(counters.messages);
      }
      if (planned === 'before-dot') {
        upstream.destroy();
        cutClient();
        return;
      }
      upstream.write(chunk);
      if (planned === 'after-dot') cutClient();
    });
    upstream.on('data', (chunk: Buffer) => {
      // After the dot, the server still responds to a client that is gone.
      if (planned !== null) {
        if (planned === 'after-reply') cutClient();
        upstream.end();
        return;
      }
      if (/^354[ -]/m.test(chunk.toString('latin1'))) {
        isMessage = true;
        lastBytes = '';
      }
      client.write(chunk);
    });
    client.once('close', () => {
      if (planned === null) upstream.end();
    });
    upstream.once('close', () => client.end());
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `smtps://localhost:${(server.address() as AddressInfo).port}`,
    ca: certificate.ca,
    counters,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
