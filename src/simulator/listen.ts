import { once } from 'node:events';
import type { Server } from 'node:net';

/**
 * @param port 0 takes any that is free
 * @returns the port
 * @throws what the socket says, as EADDRINUSE
 */
export async function listen(server: Server, port: number, host: string): Promise<number> {
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : 0;
}
