import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AuthorizationRequest, isAuthorizationResponse } from './authorization.ts';
import { LoginError } from './login-error.ts';

const HOST = '127.0.0.1';
const START_PATH = '/login';

/** A listener on the loopback address to which Google redirects the browser (RFC 8252, 7.3). */
export interface Loopback extends AsyncDisposable {
  readonly redirectUri: string;
  /** A short address that leads to Google's page. */
  readonly startUrl: string;
  /** Resolves with the address of the response to this request. Ignores those to other requests. */
  receive(request: AuthorizationRequest): Promise<URL>;
}

/**
 * @param port 0 for a free one
 * @throws {LoginError} if the port is in use
 */
export async function openLoopback(port: number): Promise<Loopback> {
  let request: AuthorizationRequest | null = null;
  const { promise: response, resolve } = Promise.withResolvers<URL>();

  const server = createServer((message, reply) => {
    const address = URL.parse(message.url ?? '', redirectUri);
    if (request === null || address === null || message.method !== 'GET') sendPage(reply, PAGES.unknown);
    else if (address.pathname === START_PATH)
      reply.writeHead(302, { location: request.url, 'cache-control': 'no-store' }).end();
    else if (address.pathname !== '/' || !isAuthorizationResponse(address)) sendPage(reply, PAGES.unknown);
    else if (address.searchParams.get('state') !== request.state) sendPage(reply, PAGES.otherLogin);
    else {
      // Once the page is sent: the listener then closes every connection.
      reply.once('close', () => resolve(address));
      sendPage(reply, PAGES.received);
    }
  });
  server.listen(port, HOST);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw toPortError(error, port);
  }
  const redirectUri = `http://${HOST}:${(server.address() as AddressInfo).port}`;
  return {
    redirectUri,
    startUrl: `${redirectUri}${START_PATH}`,
    receive(next) {
      request = next;
      return response;
    },
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

function toPortError(error: unknown, port: number): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'EADDRINUSE' || code === 'EACCES'
    ? new LoginError('consent_port_unusable', `port ${port} cannot be used: ${message}`)
    : error;
}

interface Page {
  readonly status: number;
  readonly title: string;
  readonly text: string;
}

const PAGES = {
  received: {
    status: 200,
    title: 'Back to the terminal',
    text: 'Outtray received the response. The terminal shows the result. You can close this page.',
  },
  otherLogin: {
    status: 400,
    title: 'Not this login',
    text: 'This page belongs to another login. Open the address that the terminal shows.',
  },
  unknown: {
    status: 404,
    title: 'Not found',
    text: 'Outtray waits here for the response of Google. Open the address that the terminal shows.',
  },
} as const satisfies Record<string, Page>;

function sendPage(reply: ServerResponse, { status, title, text }: Page): void {
  reply.writeHead(status, {
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'",
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    connection: 'close',
  });
  reply.end(
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title} - Outtray</title><style>body{font:16px sans-serif;max-width:36em;margin:4em auto;padding:0 1em}</style><h1>${title}</h1><p>${text}</p></html>\n`,
  );
}
