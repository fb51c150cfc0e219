import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StrippingProxy extends AsyncDisposable {
  /** URL without the prefix. */
  readonly url: string;
  /** Requested paths without the prefix. */
  readonly unprefixedPaths: readonly string[];
}

/**
 * Starts a reverse proxy that serves `target` under a prefix, which it removes as nginx does with
 * `proxy_pass …/;`.
 */
export async function startStrippingProxy(target: string, prefix: string): Promise<StrippingProxy> {
  const unprefixedPaths: string[] = [];
  const server = createServer((incoming, response) => {
    const { url = '', method, headers } = incoming;
    const rest = url.startsWith(prefix) ? url.slice(prefix.length) : null;
    if (rest === null || !/^([/?]|$)/.test(rest)) {
      unprefixedPaths.push(url);
      response.writeHead(404).end();
      return;
    }
    const outgoing = request(
      `${target}${url.slice(prefix.length) || '/'}`,
      { method, headers },
      (received) => {
        response.writeHead(received.statusCode ?? 502, received.headers);
        received.pipe(response);
      },
    );
    outgoing.on('error', () => response.destroy());
    incoming.pipe(outgoing);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    unprefixedPaths,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
