import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { outcomesOf, readContract } from '../helpers/openapi-contract.ts';
import { commonRows } from './common.ts';
import { messageRows } from './messages.ts';
import { otherRows } from './others.ts';
import { resendRows } from './resend.ts';
import { type Clients, openClients, type Row } from './rows.ts';
import { sendRows } from './send.ts';

const contract = await readContract();
const rows: Row[] = [...commonRows(contract), ...sendRows, ...messageRows, ...otherRows, ...resendRows];

describe('the service responds as openapi.yaml documents', () => {
  let clients: Clients;
  beforeAll(async () => {
    clients = await openClients(contract);
  });
  afterAll(() => clients[Symbol.asyncDispose]());

  test.concurrent.each(rows)('$operation with $outcome', async ({ operation, outcome, run }) => {
    const response = await run(clients);
    expect(contract.check(contract.operation(operation), response)).toBe(outcome);
  });
});

test('every response that openapi.yaml documents is tested here', () => {
  const seen = new Set(rows.map(({ operation, outcome }) => `${operation} ${outcome}`));
  const documented = contract.operations.flatMap((operation) =>
    outcomesOf(operation).map((outcome) => `${operation.operationId} ${outcome}`),
  );
  expect(documented.filter((outcome) => !seen.has(outcome))).toEqual([]);
});
