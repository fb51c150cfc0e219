/** The simulator's own small HTTP port: what it took, and two switches. Not a thing that Gmail has. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { LOGIN_FAULTS, type LoginFault } from './logins.ts';
import type { SimulatorState } from './state.ts';

const MAX_BODY_BYTES = 64 * 1024;

/** A refusal, with its HTTP status. */
class HttpError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function createInspection(state: SimulatorState): Server {
  return createServer((request, response) => {
    answer(state, request, response).catch((error: unknown) => {
      const status = error instanceof HttpError ? error.status : 500;
      json(response, status, { error: error instanceof Error ? error.message : String(error) });
    });
  });
}

async function answer({ journal, authenticator }: SimulatorState, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://simulator.test');
  const [, id, raw] = /^\/messages\/([^/]+)(\/raw)?$/.exec(pathname) ?? [];
  switch (id === undefined ? `${request.method} ${pathname}` : `${request.method} message`) {
    case 'GET /messages':
      return json(response, 200, { messages: journal.messages.map(({ raw: _, ...rest }) => rest).reverse() });
    case 'GET message': {
      const message = journal.messages.find((each) => each.id === id);
      if (!message) throw new HttpError(404, 'No such message');
      return raw ? text(response, message.raw) : json(response, 200, message);
    }
    case 'DELETE /messages':
      journal.forgetMessages();
      response.writeHead(204).end();
      return;
    case 'GET /counters':
      return json(response, 200, journal.counters);
    case 'POST /login-fault':
      authenticator.fault = parseFault((await readJson(request)).fault);
      return json(response, 200, { fault: authenticator.fault });
    case 'POST /password':
      authenticator.secret = parsePassword((await readJson(request)).password);
      response.writeHead(204).end();
      return;
    default:
      throw new HttpError(404, 'See /messages, /messages/{id}, /messages/{id}/raw, /counters, /login-fault and /password');
  }
}

function parseFault(value: unknown): LoginFault | null {
  const fault = LOGIN_FAULTS.find((each) => each === value) ?? null;
  if (fault === null && value !== null) throw new HttpError(400, `fault must be null or one of ${LOGIN_FAULTS.join(', ')}`);
  return fault;
}

function parsePassword(value: unknown): string {
  if (typeof value !== 'string' || value === '') throw new HttpError(400, 'password must be a string');
  return value;
}

/** JSON by its content type only: a page in a browser cannot send that to another origin unasked. */
async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  if (!request.headers['content-type']?.startsWith('application/json')) throw new HttpError(415, 'Send application/json');
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) {
    body += chunk;
    if (body.length > MAX_BODY_BYTES) throw new HttpError(413, 'Too large');
  }
  try {
    return Object(JSON.parse(body));
  } catch {
    throw new HttpError(400, 'Not JSON');
  }
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'x-content-type-options': 'nosniff' });
  response.end(JSON.stringify(body));
}

function text(response: ServerResponse, body: string): void {
  response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' });
  response.end(body);
}
