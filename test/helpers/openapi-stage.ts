import type { AppOptions } from '../../src/http/app.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { exchange, MAIL, startApp } from './app.ts';
import type { Answer, Contract } from './openapi-contract.ts';
import { API_KEY } from './service.ts';
import { startWithGmail } from './smtp/gmail.ts';

/** What to ask of an operation, where that is not the usual request. */
export interface Call {
  /** What stands in the path for `{id}` and the like. */
  readonly path?: Readonly<Record<string, string>>;
  /** With its question mark. */
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Becomes JSON, unless it is a text; null: none. */
  readonly body?: unknown;
  /** A secret; null: none. */
  readonly key?: string | null;
}

/** A service that is asked by the names of its operations. */
export interface Stage extends AsyncDisposable {
  call(operationId: string, call?: Call): Promise<Answer>;
  /** The JSON of the answer. */
  ask(
    operationId: string,
    call?: Call,
  ): Promise<{
    readonly id: string;
    readonly next_cursor: string;
    readonly message: { readonly id: string };
  }>;
  /** Sends the beginning of a request, with a good key and no more headers than these. */
  callRaw(operationId: string, headers: readonly string[]): Promise<Answer>;
}

/** The whole service and its Gmail. */
export interface ServiceStage extends Stage {
  readonly gmail: Simulator;
  /** Begins to close the service. */
  drain(): void;
}

export const TOMORROW = new Date(Date.now() + 24 * 3_600_000).toISOString();
const EMAIL = { from: 'bot@simulator.test', ...MAIL };

/** Bodies that nothing is wrong with. */
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

const PATH = { id: 'msg_unknown', email: 'eve@example.com', user: 'bot@simulator.test', code: 'queue_full' };

/** The whole service, with this in its environment besides what tests give any service. */
export async function openServiceStage(
  contract: Contract,
  env: Readonly<Record<string, string>> = {},
): Promise<ServiceStage> {
  const { service, gmail } = await startWithGmail({ env });
  return {
    ...createStage(contract, service.url),
    gmail,
    drain: () => void service.close(),
    async [Symbol.asyncDispose]() {
      // First, so that no attempt holds up the end of the service.
      await gmail.close();
      await service.close();
    },
  };
}

/** The HTTP layer over other parts than the real ones: for what the real ones cannot be brought to from outside. */
export async function openAppStage(contract: Contract, parts: Partial<AppOptions>): Promise<Stage> {
  const app = await startApp(parts);
  return {
    ...createStage(contract, await app.listen()),
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  };
}

function createStage(contract: Contract, url: string): Omit<Stage, keyof AsyncDisposable> {
  function toPath(operationId: string, { path = {}, query = '' }: Call): string {
    const parts: Readonly<Record<string, string>> = { ...PATH, ...path };
    return (
      contract
        .operation(operationId)
        .path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(parts[name] ?? '')) + query
    );
  }

  async function call(operationId: string, asked: Call = {}): Promise<Answer> {
    const { method } = contract.operation(operationId);
    const { key = API_KEY, body = BODIES[operationId] ?? null, headers } = asked;
    const response = await fetch(`${url}${toPath(operationId, asked)}`, {
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
    ask: async (operationId, asked) => JSON.parse((await call(operationId, asked)).body),
    async callRaw(operationId, headers) {
      const start = `${contract.operation(operationId).method} ${toPath(operationId, {})} HTTP/1.1`;
      return parseAnswer(
        await exchange(url, [start, `Authorization: Bearer ${API_KEY}`, ...headers, '', ''].join('\r\n')),
      );
    },
  };
}

function parseAnswer(text: string): Answer {
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
