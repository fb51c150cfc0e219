import { once } from 'node:events';
import net from 'node:net';

/** Number of sessions. A session lasts from the client's first bytes until either side closes. */
export interface SessionCounts {
  readonly open: number;
  readonly atMostOpen: number;
}

/** Opens a proxy that counts the sessions of a port, independently of the server behind it. */
export async function openCountingProxy(
  target: number,
): Promise<{ readonly port: number; readonly sessions: SessionCounts }> {
  const sessions = { open: 0, atMostOpen: 0 };
  const server = net.createServer({ noDelay: true }, (client) => {
    const upstream = net.connect({ port: target, host: '127.0.0.1', noDelay: true });
    client.pipe(upstream).pipe(client);
    let state: 'new' | 'open' | 'closed' = 'new';
    client.once('data', () => {
      if (state !== 'new') return;
      state = 'open';
      sessions.open += 1;
      sessions.atMostOpen = Math.max(sessions.atMostOpen, sessions.open);
    });
    const close = () => {
      if (state === 'open') sessions.open -= 1;
      state = 'closed';
    };
    // The session ends when either side closes.
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      socket.on('end', close).on('error', () => {});
      socket.on('close', () => {
        close();
        other.destroy();
      });
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { port: (server.address() as net.AddressInfo).port, sessions };
}
