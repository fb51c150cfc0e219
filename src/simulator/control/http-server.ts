/** A small HTTP server over a table of routes. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { z } from 'zod';

const MAX_BODY_BYTES = 64 * 1024;

/** What a handler is asked. */
export interface Ask {
  /** The JSON of the body, or the fields of a form. Empty for GET and DELETE. */
  readonly body: unknown;
  /** What stands in the path where the route has `{id}`. */
  readonly id: string;
  readonly headers: IncomingMessage['headers'];
}

/** A handler returns what is answered with 200 as JSON, a PlainText, or undefined for 204. It refuses by throwing an HttpError. */
export interface Route<Context> {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** As `/messages/{id}`. */
  readonly path: string;
  /** For people, in one line. */
  readonly summary: string;
  /** Takes a body of application/x-www-form-urlencoded in place of JSON. */
  readonly form?: true;
  readonly handle: (context: Context, ask: Ask) => unknown;
}

/** A refusal, with its HTTP status; `body` stands in place of `{"error": message}`. */
export class HttpError extends Error {
  readonly status: number;
  readonly body: unknown;

  constructor(status: number, message: string, body: unknown = { error: message }) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/** An answer that is text and nothing else, whatever is in it. */
export class PlainText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A route that takes a JSON body of this shape. */
export function post<Context, Body>(
  path: string,
  summary: string,
  shape: z.ZodType<Body>,
  handle: (context: Context, body: Body) => unknown,
): Route<Context> {
  return {
    method: 'POST',
    path,
    summary,
    handle: (context, { body }) => {
      const parsed = shape.safeParse(body);
      if (parsed.success) return handle(context, parsed.data);
      throw new HttpError(400, z.prettifyError(parsed.error));
    },
  };
}

/** Answers `GET /` with the table itself. Does not listen yet. */
export function createHttpServer<Context>(routes: readonly Route<Context>[], context: Context): Server {
  const index = { routes: routes.map(({ method, path, summary }) => ({ method, path, summary })) };
  const table: readonly Route<Context>[] = [
    { method: 'GET', path: '/', summary: 'this list', handle: () => index },
    ...routes,
  ];
  return createServer((request, response) => {
    answer(table, context, request, response).catch((error: unknown) => {
      const refusal =
        error instanceof HttpError
          ? error
          : new HttpError(500, error instanceof Error ? error.message : String(error));
      send(response, refusal.status, 'application/json', JSON.stringify(refusal.body));
    });
  });
}

async function answer<Context>(
  routes: readonly Route<Context>[],
  context: Context,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://simulator.test');
  const { route, id } = find(routes, request.method, pathname);
  const body = route.method === 'POST' ? await readBody(request, route.form ?? false) : {};
  const answered = await route.handle(context, { body, id, headers: request.headers });
  if (answered === undefined) response.writeHead(204).end();
  else if (answered instanceof PlainText) send(response, 200, 'text/plain', answered.text);
  else send(response, 200, 'application/json', JSON.stringify(answered));
}

function find<Context>(
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
  throw new HttpError(404, 'No such route: GET / lists what there is');
}

/** JSON by its content type only: a page in a browser cannot send that to another origin unasked. */
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
