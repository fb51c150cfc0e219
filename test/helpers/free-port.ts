import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';

/**
 * Returns a port of 127.0.0.1 that is free, and that the system gives to no other program: it lies below the
 * ephemeral ports, from which servers on port 0 and clients take theirs (from 32,768 on Linux). A port of theirs
 * may be taken again as soon as it is closed.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const server = net.createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}
