import { AppError } from '../../src/core/errors.ts';
import type { AppOptions } from '../../src/http/app.ts';
import { ADMIN_SECRET } from '../helpers/app.ts';
import type { OperationClient } from '../helpers/openapi-client.ts';
import type { Contract, ReceivedResponse } from '../helpers/openapi-contract.ts';
import { forEach, limitedKey, onService, READER, type Row, SENDER, withParts } from './rows.ts';

const JSON_TYPE = 'Content-Type: application/json';

/** Errors that all routes have in common. */
export function commonRows(contract: Contract): Row[] {
  return [
    // Without the Host header that HTTP requires.
    ...forEach(contract, 'invalid_json', ({ operationId: operation }, outcome) => ({
      operation,
      outcome,
      run: ({ shared }) => shared.callRaw(operation, ['Connection: close']),
    })),
    ...forEach(contract, 'unsupported_media_type', ({ operationId }) =>
      onService(operationId, 'invalid_json', { body: '{' }),
    ),
    ...forEach(contract, 'unsupported_media_type', ({ operationId }, outcome) =>
      onService(operationId, outcome, { headers: { 'content-type': 'text/plain' }, body: 'Hello' }),
    ),
    // Without a valid key, an address can send 60 requests a minute: to each of two services.
    ...forEach(contract, 'missing_api_key', ({ operationId }, outcome) =>
      onService(operationId, outcome, { key: null }),
    ),
    ...forEach(contract, 'invalid_api_key', ({ operationId }, outcome) =>
      withParts(ANOTHER_SERVICE, operationId, outcome, { key: 'wrong' }),
    ),
    ...forEach(contract, 'insufficient_scope', ({ operationId, method }, outcome) => {
      const isRead = method === 'GET' || ['previewTemplate', 'createContentTicket'].includes(operationId);
      return onService(operationId, outcome, { key: isRead ? SENDER : READER });
    }),
    ...forEach(
      contract,
      'rate_limited',
      (operation, outcome) =>
        onService(operation.operationId, outcome, async ({ call }) => {
          const key = limitedKey(operation);
          // An existing page needs no key.
          const request = { key, path: { code: 'unknown' } };
          await call(operation.operationId, request);
          return request;
        }),
      // Metrics are not counted: others.ts.
    ).filter(({ operation }) => operation !== 'getMetrics'),
    ...forEach(contract, 'message_too_large', ({ operationId }, outcome) =>
      onService(operationId, outcome, { body: ' '.repeat(1.125 * 1024 * 1024) }),
    ),
    ...forEach(contract, 'queue_full', ({ operationId: operation }, outcome) => ({
      operation,
      outcome,
      run: async (clients) => afterUpload(await clients.withParts(LITTLE_CAPACITY), operation),
    })).filter(({ operation }) => operation !== 'readyz'),
    // A short timeout instead of one minute.
    ...forEach(contract, 'request_timeout', ({ operationId: operation }, outcome) => ({
      operation,
      outcome,
      run: async (clients) =>
        (await clients.withParts(SHORT_TIMEOUT)).callRaw(operation, [
          'Host: x',
          JSON_TYPE,
          'Content-Length: 9',
        ]),
    })),
    // The in-memory queue is always available, and no bug is known.
    ...forEach(contract, 'queue_unavailable', ({ operationId }, outcome) =>
      withParts(UNREACHABLE, operationId, outcome, WITH_KEY),
    ),
    ...forEach(contract, 'internal_error', ({ operationId }, outcome) =>
      withParts(BROKEN, operationId, outcome, WITH_KEY),
    ),
  ];
}

/** Counts requests apart from the shared service. */
const ANOTHER_SERVICE = {};

/** Has room for two bodies of slightly over 1 MiB, so one key can send one. */
const LITTLE_CAPACITY = { maxMessageBytes: 1, freeBytes: () => 0 };
const MIB = 1024 * 1024;

/** Calls the operation with a body while an unfinished upload of the same key takes the capacity. */
async function afterUpload(client: OperationClient, operation: string): Promise<ReceivedResponse> {
  const taken = uploads.get(client) ?? takeCapacity(client);
  uploads.set(client, taken);
  await taken;
  return client.call(operation, { body: ' '.repeat(MIB / 2) });
}

/** Resolves when the upload has taken the capacity. Operations share a client, and so its upload. */
const uploads = new WeakMap<OperationClient, Promise<void>>();

async function takeCapacity(client: OperationClient): Promise<void> {
  const upload = ['Host: x', JSON_TYPE, `Content-Length: ${MIB}`, '', ' '.repeat(MIB - 100)];
  let isUploading = false;
  const startUpload = async () => {
    isUploading = true;
    await client.callRaw('send', upload).catch(() => {});
    isUploading = false;
  };
  // The upload is refused if it begins while the body of the call below is in memory. Each round
  // gives it more time, in calls without a body.
  for (let calls = 4; ; calls *= 2) {
    if (!isUploading) void startUpload();
    for (let made = 0; made < calls; made += 1) await client.call('listMessages', {});
    const { status } = await client.call('send', { body: ' '.repeat(MIB / 2) });
    if (status === 503 && isUploading) return;
  }
}

const SHORT_TIMEOUT = { requestTimeoutMs: 200 };
/**
 * A batch handles each message separately. It fails as a whole only in the check of its
 * Idempotency-Key.
 */
const WITH_KEY = { key: ADMIN_SECRET, headers: { 'idempotency-key': '1' } };
const UNREACHABLE = {
  ...failing(() => new AppError('queue_unavailable')),
  store: {
    get: async () => null,
    tombstone: async () => null,
    refusalCode: () => 'queue_unavailable' as const,
  },
};
const BROKEN = failing(() => new Error('A bug'));

/** Parts that all fail with the same error. */
function failing(makeError: () => Error): Partial<AppOptions> {
  const fail = () => {
    throw makeError();
  };
  const reject = async () => fail();
  return {
    accounts: {
      defaultFrom: { email: 'bot@simulator.test', name: null },
      budget: fail,
      list: fail,
      verify: reject,
    },
    idempotency: { claim: reject, accept: reject, release: reject, markUnknown: reject },
    messages: {
      get: reject,
      content: reject,
      list: reject,
      cancel: reject,
      retry: reject,
      reschedule: reject,
    },
    reconciliation: { reconcile: reject },
    stats: { read: reject },
    doctor: { read: reject },
    tickets: { issue: fail, verify: fail },
    suppressions: { get: reject, list: reject, add: reject, remove: reject },
    templates: { list: fail, render: fail },
    endpointTests: { run: reject },
    webhookDeliveries: { list: reject, replay: reject },
  };
}
