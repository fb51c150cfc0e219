import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StrippingProxy extends AsyncDisposable {
  /** Without the prefix. */
  readonly url: string;
  /** The paths that were asked for outside of the prefix. */
  readonly strays: readonly string[];
}

/** A reverse proxy that serves `target` under a prefix and removes the prefix from the path, as nginx does with `proxy_pass …/;`. */
export async function startStrippingProxy(target: string, prefix: string): Promise<StrippingProxy> {
  const strays: string[] = [];
  const server = createServer((incoming, response) => {
    const { url = '', method, headers } = incoming;
    if (!url.startsWith(`${prefix}/`)) {
      strays.push(url);
      response.writeHead(404).end();
      return;
    }
    const outgoing = request(`${target}${url.slice(prefix.length)}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    outgoing.on('error', () => response.destroy());
    incoming.pipe(outgoing);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    strays,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
