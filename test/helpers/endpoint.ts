import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import {
  type AddressInfo,
  createServer as createRawServer,
  type Server as RawServer,
  type Socket,
} from 'node:net';

/** A request as the endpoint received it. */
export interface Heard {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Endpoint extends AsyncDisposable {
  readonly port: number;
  readonly heard: readonly Heard[];
  /** Number of connections so far. */
  readonly connections: number;
}

export interface EndpointOptions {
  /** Sends the response. Default: 204. */
  readonly answer?: (response: ServerResponse, heard: Heard) => void;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly host?: string;
  readonly port?: number;
}

/** An HTTP server that receives webhooks. */
export async function startEndpoint({ answer, tls, host, port }: EndpointOptions = {}): Promise<Endpoint> {
  const heard: Heard[] = [];
  const server: Server = tls ? createTlsServer(tls) : createServer();
  server.on('request', async (request, response: ServerResponse) => {
    const chunks = await request.toArray().catch(() => []);
    const { method = '', url: path = '', headers } = request;
    const call = { method, path, headers, body: Buffer.concat(chunks).toString() };
    heard.push(call);
    if (answer) answer(response, call);
    else response.writeHead(204).end();
  });
  server.on('tlsClientError', () => {});
  const listening = await listen(server, host, port);
  return Object.defineProperty({ ...listening, heard }, 'connections', {
    get: () => listening.sockets.length,
  }) as unknown as Endpoint;
}

/** A TCP server that calls `answer` for each chunk it receives. */
export async function startRawEndpoint(
  answer: (socket: Socket, request: string, connection: number) => void,
) {
  let count = 0;
  const server = createRawServer((socket) => {
    count += 1;
    const connection = count;
    socket.on('data', (chunk) => answer(socket, String(chunk), connection));
  });
  return listen(server);
}

async function listen(server: RawServer, host = '127.0.0.1', port = 0) {
  const sockets: Socket[] = [];
  server.on('connection', (socket: Socket) => sockets.push(socket.on('error', () => {})));
  server.listen(port, host);
  await once(server, 'listening');
  return {
    sockets,
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
