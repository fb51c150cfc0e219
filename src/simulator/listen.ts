import { once } from 'node:events';
import type { Server } from 'node:net';

/**
 * Starts listening.
 *
 * @param port 0 selects a free port
 * @returns the port
 * @throws the error of the socket, such as EADDRINUSE
 */
export async function listen(server: Server, port: number, host: string): Promise<number> {
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address();
  return address !== null && typeof address === 'object' ? address.port : 0;
}
