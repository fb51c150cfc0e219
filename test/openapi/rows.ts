import type { ErrorCode } from '../../src/core/errors.ts';
import type { AppOptions } from '../../src/http/app.ts';
import { MAIL } from '../helpers/app.ts';
import { aCaller } from '../helpers/keys.ts';
import {
  type Call,
  type OperationClient,
  openAppClient,
  openServiceClient,
  type ServiceClient,
} from '../helpers/openapi-client.ts';
import {
  type Contract,
  type Operation,
  type Outcome,
  outcomesOf,
  type ReceivedResponse,
} from '../helpers/openapi-contract.ts';
import { API_KEY } from '../helpers/service.ts';
import { makeTemplatesDir } from '../helpers/templates.ts';

/** A documented outcome of an operation, and how to provoke it. */
export interface Row {
  readonly operation: string;
  readonly outcome: Outcome;
  run(clients: Clients): Promise<ReceivedResponse>;
}

/** The services that rows share. */
export interface Clients extends AsyncDisposable {
  readonly contract: Contract;
  readonly shared: ServiceClient;
  /**
   * The HTTP layer with these parts instead of the real ones; one instance for each set of parts.
   */
  withParts(parts: Partial<AppOptions>): Promise<OperationClient>;
}

/** The call to make, or a function that prepares it. */
type Preparation<On> = Call | ((client: On) => Promise<Call>);

/** Calls the shared service. */
export function onService(
  operation: string,
  outcome: Outcome,
  prepare: Preparation<ServiceClient> = {},
): Row {
  return { operation, outcome, run: ({ shared }) => callPrepared(shared, operation, prepare) };
}

/** Calls a separate service with this environment. */
export function withEnv(
  env: Readonly<Record<string, string>>,
  operation: string,
  outcome: Outcome,
  prepare: Preparation<ServiceClient> = {},
): Row {
  return {
    operation,
    outcome,
    async run({ contract }) {
      await using client = await openServiceClient(contract, env);
      return await callPrepared(client, operation, prepare);
    },
  };
}

/** Calls a separate service while it waits for an attempt to end before it stops. */
export function whileDraining(operation: string): Row {
  return withEnv({}, operation, 'shutting_down', async ({ callJson, gmail, drain }) => {
    await callJson('send', { body: { ...MAIL, to: 'slow+5s@simulator.test' } });
    await gmail.waitFor(({ transactions }) => transactions.length > 0);
    drain();
    return {};
  });
}

/** Calls the HTTP layer with parts that fail in ways that the real ones cannot be made to. */
export function withParts(
  parts: Partial<AppOptions>,
  operation: string,
  outcome: Outcome,
  prepare: Preparation<OperationClient> = {},
): Row {
  return {
    operation,
    outcome,
    run: async (clients) => callPrepared(await clients.withParts(parts), operation, prepare),
  };
}

/** Calls a separate service that uses the opened server instead of Gmail, without TLS. */
export function against(
  open: () => Promise<AsyncDisposable & { readonly port: number }>,
  operation: string,
  outcome: Outcome,
  prepare: Preparation<ServiceClient> = {},
): Row {
  return {
    operation,
    outcome,
    async run(clients) {
      await using server = await open();
      return await withEnv(
        { SMTP_URL: `smtp://127.0.0.1:${server.port}?tls=never` },
        operation,
        outcome,
        prepare,
      ).run(clients);
    },
  };
}

/**
 * Calls an operation while a first request with the same key hangs, since a normal request would
 * end too soon.
 */
export function whileInProgress(operation: string): Row {
  return {
    operation,
    outcome: 'idempotency_in_progress',
    async run({ contract }) {
      const begun = Promise.withResolvers<void>();
      const hang = () => {
        begun.resolve();
        return new Promise<never>(() => {});
      };
      await using client = await openAppClient(contract, {
        intake: { accept: hang, preview: hang, check: hang },
      });
      const request = { headers: { 'idempotency-key': '1' } };
      client.call(operation, request).catch(() => {});
      await begun.promise;
      return await client.call(operation, request);
    },
  };
}

async function callPrepared<On extends OperationClient>(
  client: On,
  operation: string,
  prepare: Preparation<On>,
): Promise<ReceivedResponse> {
  return client.call(operation, typeof prepare === 'function' ? await prepare(client) : prepare);
}

/** Accepts every ticket. */
export const ANY_TICKET: AppOptions['tickets'] = {
  issue: () => ({ ticket: '', expiresAt: 0 }),
  verify: () => ({ caller: aCaller(), sealed: '{}' }),
};

export const SMALL_QUEUE = { QUEUE_MAX_MESSAGES: '1' };

export const SENDER = 'send-secret-0123456789-abcdefghi';
export const READER = 'read-secret-0123456789-abcdefghi';
export const PROMETHEUS = 'prom-secret-0123456789-abcdefghi';
export const ADMIN = 'boss-secret-0123456789-abcdefghi';

/** A key that is limited to one request an hour, and used for this operation only. */
export function limitedKey({ operationId }: Operation): string {
  return `once-secret-0123456789-${operationId}`;
}

export async function openClients(contract: Contract): Promise<Clients> {
  const stack = new AsyncDisposableStack();
  const templates = stack.use(
    await makeTemplatesDir({
      'invoice/subject.txt': 'Your invoice',
      'invoice/body.html': '<p>{{name}}, pay.</p>',
    }),
  );
  const keys = [
    { name: 'crm', secret: API_KEY },
    { name: 'sender', secret: SENDER, scopes: ['send'] },
    { name: 'reader', secret: READER, scopes: ['read'] },
    { name: 'boss', secret: ADMIN, scopes: ['admin'] },
    { name: 'prometheus', secret: PROMETHEUS, scopes: ['metrics'] },
    ...contract.operations.map((one) => ({
      name: `once-${one.operationId}`,
      secret: limitedKey(one),
      rate_limit: '1/1h',
    })),
  ];
  const env = { API_KEYS: JSON.stringify(keys), TEMPLATES_DIR: templates.dir, MAX_MESSAGE_BYTES: '64kb' };
  const shared = stack.use(await openServiceClient(contract, env));
  const open = new Map<Partial<AppOptions>, Promise<OperationClient>>();

  return {
    contract,
    shared,
    withParts(parts) {
      const client = open.get(parts) ?? openAppClient(contract, parts).then((opened) => stack.use(opened));
      open.set(parts, client);
      return client;
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Makes a row for each operation that documents this error, with any status. */
export function forEach(
  { operations }: Contract,
  code: ErrorCode,
  toRow: (operation: Operation, outcome: Outcome) => Row,
): Row[] {
  return operations.flatMap((operation) =>
    outcomesOf(operation)
      .filter((outcome) => String(outcome).split(' ').at(-1) === code)
      .map((outcome) => toRow(operation, outcome)),
  );
}
