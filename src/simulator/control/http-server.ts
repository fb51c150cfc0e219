/** A small HTTP server for a table of routes. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { z } from 'zod';

const MAX_BODY_BYTES = 64 * 1024;

export interface RouteRequest {
  /** The parsed JSON, or the fields of the form. Empty for GET and DELETE. */
  readonly body: unknown;
  /** The part of the path that matches `{id}`. */
  readonly id: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
}

/**
 * Handlers return a value to send as JSON, a PlainText, an Html, a Redirect, or undefined for 204.
 * They throw an HttpError for other statuses.
 */
export interface Route<Context> {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Such as `/messages/{id}`. */
  readonly path: string;
  /** One line for the list of routes. */
  readonly summary: string;
  /** The body is application/x-www-form-urlencoded instead of JSON. */
  readonly form?: true;
  readonly handle: (context: Context, request: RouteRequest) => unknown;
}

/** An error response. `body` replaces the default `{"error": message}`. */
export class HttpError extends Error {
  readonly status: number;
  readonly body: unknown;

  constructor(status: number, message: string, body: unknown = { error: message }) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** A response of type text/plain. */
export class PlainText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A response of type text/html. Its page loads nothing. */
export class Html {
  readonly status: number;
  readonly text: string;

  constructor(text: string, status = 200) {
    this.status = status;
    this.text = text;
  }
}

export class Redirect {
  readonly location: string;

  constructor(location: string) {
    this.location = location;
  }
}

/** Defines a POST route with a JSON body of this schema. */
export function post<Context, Body>(
  path: string,
  summary: string,
  schema: z.ZodType<Body>,
  handle: (context: Context, body: Body) => unknown,
): Route<Context> {
  return {
    method: 'POST',
    path,
    summary,
    handle: (context, { body }) => {
      const parsed = schema.safeParse(body);
      if (parsed.success) return handle(context, parsed.data);
      throw new HttpError(400, z.prettifyError(parsed.error));
    },
  };
}

/** Creates a server that does not listen yet. `GET /` lists the routes. */
export function createHttpServer<Context>(routes: readonly Route<Context>[], context: Context): Server {
  const index = { routes: routes.map(({ method, path, summary }) => ({ method, path, summary })) };
  const table: readonly Route<Context>[] = [
    { method: 'GET', path: '/', summary: 'this list', handle: () => index },
    ...routes,
  ];
  return createServer((request, response) => {
    handleRequest(table, context, request, response).catch((error: unknown) => {
      const httpError =
        error instanceof HttpError
          ? error
          : new HttpError(500, error instanceof Error ? error.message : String(error));
      send(response, httpError.status, 'application/json', JSON.stringify(httpError.body));
    });
  });
}

async function handleRequest<Context>(
  routes: readonly Route<Context>[],
  context: Context,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname, searchParams: query } = new URL(request.url ?? '/', 'http://simulator.test');
  const { route, id } = findRoute(routes, request.method, pathname);
  const body = route.method === 'POST' ? await readBody(request, route.form ?? false) : {};
  const result = await route.handle(context, { body, id, query, headers: request.headers });
  if (result === undefined) response.writeHead(204).end();
  else if (result instanceof Redirect) response.writeHead(302, { location: result.location }).end();
  else if (result instanceof Html) {
    response.setHeader('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'");
    send(response, result.status, 'text/html', result.text);
  } else if (result instanceof PlainText) send(response, 200, 'text/plain', result.text);
  else send(response, 200, 'application/json', JSON.stringify(result));
}

function findRoute<Context>(
  routes: readonly Route<Context>[],
  method: string | undefined,
  pathname: string,
): { readonly route: Route<Context>; readonly id: string } {
  for (const route of routes) {
    const [before = '', after = ''] = route.path.split('{id}');
    const id = pathname.slice(before.length, pathname.length - after.length);
    if (route.method === method && pathname === route.path.replace('{id}', () => id) && !id.includes('/'))
      return { route, id };
  }
  throw new HttpError(404, 'No such route: GET / lists the routes');
}

/**
 * Requires the content type of JSON, which a page in a browser cannot send to another origin
 * without CORS.
 */
async function readBody(request: IncomingMessage, form: boolean): Promise<unknown> {
  const type = form ? 'application/x-www-form-urlencoded' : 'application/json';
  if (!request.headers['content-type']?.startsWith(type)) throw new HttpError(415, `Send ${type}`);
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) {
    body += chunk;
    if (body.length > MAX_BODY_BYTES) throw new HttpError(413, 'Too large');
  }
  if (form) return Object.fromEntries(new URLSearchParams(body));
  try {
    return JSON.parse(body);
  } catch {
    throw new HttpError(400, 'Not JSON');
  }
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': `${type}; charset=utf-8`,
    'x-content-type-options': 'nosniff',
  });
  response.end(body);
}
