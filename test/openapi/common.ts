import { AppError } from '../../src/core/errors.ts';
import type { AppOptions } from '../../src/http/app.ts';
import type { Answer, Contract } from '../helpers/openapi-contract.ts';
import type { Stage } from '../helpers/openapi-stage.ts';
import { forEach, limitedKey, READER, type Row, SENDER, usually, withParts } from './rows.ts';

const JSON_TYPE = 'Content-Type: application/json';

/** What every route refuses alike. */
export function commonRows(contract: Contract): Row[] {
  return [
    // Without Host, which HTTP demands.
    ...forEach(contract, 'invalid_json', ({ operationId: operation }, gives) => ({
      operation,
      gives,
      provoke: ({ usual }) => usual.callRaw(operation, ['Connection: close']),
    })),
    ...forEach(contract, 'unsupported_media_type', ({ operationId }) =>
      usually(operationId, 'invalid_json', { body: '{' }),
    ),
    ...forEach(contract, 'unsupported_media_type', ({ operationId }, gives) =>
      usually(operationId, gives, { headers: { 'content-type': 'text/plain' }, body: 'Hello' }),
    ),
    // An address may ask 60 times a minute without a good key: enough for 30 operations.
    ...forEach(contract, 'missing_api_key', ({ operationId }, gives) =>
      usually(operationId, gives, { key: null }),
    ),
    ...forEach(contract, 'invalid_api_key', ({ operationId }, gives) =>
      usually(operationId, gives, { key: 'wrong' }),
    ),
    ...forEach(contract, 'insufficient_scope', ({ operationId, method }, gives) => {
      const looks = method === 'GET' || operationId === 'previewTemplate';
      return usually(operationId, gives, { key: looks ? SENDER : READER });
    }),
    ...forEach(contract, 'rate_limited', (operation, gives) =>
      usually(operation.operationId, gives, async ({ call }) => {
        const key = limitedKey(operation);
        // A page that there is takes no key.
        const asked = { key, path: { code: 'unknown' } };
        await call(operation.operationId, asked);
        return asked;
      }),
    ),
    ...forEach(contract, 'message_too_large', ({ operationId }, gives) =>
      usually(operationId, gives, { body: ' '.repeat(1.125 * 1024 * 1024) }),
    ),
    ...forEach(contract, 'queue_full', ({ operationId: operation }, gives) => ({
      operation,
      gives,
      provoke: async (stages) => afterUpload(await stages.withParts(SMALL_ROOM), operation),
    })).filter(({ operation }) => operation !== 'readyz'),
    // Nobody waits a minute.
    ...forEach(contract, 'request_timeout', ({ operationId: operation }, gives) => ({
      operation,
      gives,
      provoke: async (stages) =>
        (await stages.withParts(HASTY)).callRaw(operation, ['Host: x', JSON_TYPE, 'Content-Length: 9']),
    })),
    // A queue in memory is never out of reach, and no bug is known.
    ...forEach(contract, 'queue_unavailable', ({ operationId }, gives) =>
      withParts(UNREACHABLE, operationId, gives, ONCE),
    ),
    ...forEach(contract, 'internal_error', ({ operationId }, gives) =>
      withParts(BROKEN, operationId, gives, ONCE),
    ),
  ];
}

/** Room for two bodies of 1 MiB and a little, so that a key may send one. */
const SMALL_ROOM = { maxMessageBytes: 1, freeBytes: () => 0 };
const MIB = 1024 * 1024;

/** Calls the operation with a large body until another upload of the same key, which never ends, has taken its place. */
async function afterUpload(stage: Stage, operation: string): Promise<Answer> {
  const upload = ['Host: x', JSON_TYPE, `Content-Length: ${MIB}`, '', ' '.repeat(MIB - 100)];
  stage.callRaw('send', upload).catch(() => {});
  for (;;) {
    const answer = await stage.call(operation, { body: ' '.repeat(MIB / 2) });
    if (answer.status === 503) return answer;
  }
}

const HASTY = { requestTimeoutMs: 200 };
/** A batch judges each message on its own: as a whole it fails where nothing is known yet of its key. */
const ONCE = { headers: { 'idempotency-key': '1' } };
const UNREACHABLE = {
  ...failing(() => new AppError('queue_unavailable')),
  store: {
    get: async () => null,
    tombstone: async () => null,
    refusalCode: () => 'queue_unavailable' as const,
  },
};
const BROKEN = failing(() => new Error('A bug'));

/** Parts that all fail alike. */
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
    messages: { get: reject, list: reject, cancel: reject, retry: reject, reschedule: reject },
    suppressions: { get: reject, list: reject, add: reject, remove: reject },
    templates: { list: fail, render: fail },
  };
}
