import type { AppOptions } from '../../src/http/app.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { exchange, MAIL, startApp } from './app.ts';
import type { Contract, ReceivedResponse } from './openapi-contract.ts';
import { API_KEY } from './service.ts';
import { startWithGmail } from './smtp/gmail.ts';

/** A request to an operation, as far as it differs from the default one. */
export interface Call {
  /** Values of path parameters such as `{id}`. */
  readonly path?: Readonly<Record<string, string>>;
  /** With the question mark. */
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON, or as it is if it is a string. Null: no body. */
  readonly body?: unknown;
  /** The secret of an API key. Null: none. */
  readonly key?: string | null;
}

/** Calls a service by operation id. */
export interface OperationClient extends AsyncDisposable {
  call(operationId: string, call?: Call): Promise<ReceivedResponse>;
  /** Calls, and parses the body of the response. */
  callJson(
    operationId: string,
    call?: Call,
  ): Promise<{
    readonly id: string;
    readonly next_cursor: string;
    readonly url: string;
    readonly view_url: string;
    readonly message: { readonly id: string };
  }>;
  /** Sends the beginning of a request, with a valid key and only these headers. */
  callRaw(operationId: string, headers: readonly string[]): Promise<ReceivedResponse>;
}

/** A client of the whole service, with its simulated Gmail. */
export interface ServiceClient extends OperationClient {
  readonly gmail: Simulator;
  /** Starts to close the service. */
  drain(): void;
}

export const TOMORROW = new Date(Date.now() + 24 * 3_600_000).toISOString();
const EMAIL = { from: 'bot@simulator.test', ...MAIL };

/** Valid bodies by operation id. */
const BODIES: Readonly<Record<string, unknown>> = {
  send: MAIL,
  sendBatch: { messages: [MAIL] },
  rescheduleMessage: { scheduled_at: TOMORROW },
  putSuppression: { note: 'Asked us to stop' },
  previewTemplate: { variables: { name: 'Ada' } },
  sendEmail: EMAIL,
  sendEmailBatch: [EMAIL],
  updateEmail: { scheduled_at: TOMORROW },
};

/** Required queries by operation id. */
const QUERIES: Readonly<Record<string, string>> = {
  viewMessageContent: '?ticket=unknown',
  viewTemplatePreview: '?ticket=unknown',
};

const PATH = { id: 'msg_unknown', email: 'eve@example.com', user: 'bot@simulator.test', code: 'queue_full' };

/** Starts the whole service, with these additional environment variables. */
export async function openServiceClient(
  contract: Contract,
  env: Readonly<Record<string, string>> = {},
): Promise<ServiceClient> {
  const { service, gmail } = await startWithGmail({ env });
  return {
    ...createClient(contract, service.url),
    gmail,
    drain: () => void service.close(),
    async [Symbol.asyncDispose]() {
      // Closed first, so that no attempt delays the shutdown of the service.
      await gmail.close();
      await service.close();
    },
  };
}

/**
 * Starts the HTTP layer with parts that replace the real ones, for failures that the real ones
 * cannot be made to have.
 */
export async function openAppClient(
  contract: Contract,
  parts: Partial<AppOptions>,
): Promise<OperationClient> {
  const app = await startApp(parts);
  return {
    ...createClient(contract, await app.listen()),
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  };
}

function createClient(contract: Contract, url: string): Omit<OperationClient, keyof AsyncDisposable> {
  function toPath(operationId: string, { path = {}, query = QUERIES[operationId] ?? '' }: Call): string {
    const parts: Readonly<Record<string, string>> = { ...PATH, ...path };
    return (
      contract
        .operation(operationId)
        .path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(parts[name] ?? '')) + query
    );
  }

  async function call(operationId: string, request: Call = {}): Promise<ReceivedResponse> {
    const { method } = contract.operation(operationId);
    const { key = API_KEY, body = BODIES[operationId] ?? null, headers } = request;
    const response = await fetch(`${url}${toPath(operationId, request)}`, {
      method,
      headers: {
        ...(key !== null && { authorization: `Bearer ${key}` }),
        ...(body !== null && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === null || typeof body === 'string' ? body : JSON.stringify(body),
    });
    return { status: response.status, headers: response.headers, body: await response.text() };
  }

  return {
    call,
    callJson: async (operationId, request) => JSON.parse((await call(operationId, request)).body),
    async callRaw(operationId, headers) {
      const start = `${contract.operation(operationId).method} ${toPath(operationId, {})} HTTP/1.1`;
      return parseResponse(
        await exchange(url, [start, `Authorization: Bearer ${API_KEY}`, ...headers, '', ''].join('\r\n')),
      );
    },
  };
}

function parseResponse(text: string): ReceivedResponse {
  const [head = '', ...body] = text.split('\r\n\r\n');
  const [start = '', ...fields] = head.split('\r\n');
  const headers = new Headers(
    fields.map((field): [string, string] => [
      field.split(':', 1)[0] ?? '',
      field.slice(field.indexOf(':') + 1),
    ]),
  );
  return { status: Number(start.split(' ')[1]), headers, body: body.join('\r\n\r\n') };
}
