import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { outcomesOf, readContract } from '../helpers/openapi-contract.ts';
import { commonRows } from './common.ts';
import { messageRows } from './messages.ts';
import { otherRows } from './others.ts';
import { resendRows } from './resend.ts';
import { openStages, type Row, type Stages } from './rows.ts';
import { sendRows } from './send.ts';

const contract = await readContract();
const rows: Row[] = [...commonRows(contract), ...sendRows, ...messageRows, ...otherRows, ...resendRows];

describe('the service answers as openapi.yaml says', () => {
  let stages: Stages;
  beforeAll(async () => {
    stages = await openStages(contract);
  });
  afterAll(() => stages[Symbol.asyncDispose]());

  test.concurrent.each(rows)('$operation with $gives', async ({ operation, gives, provoke }) => {
    const answer = await provoke(stages);
    expect(contract.check(contract.operation(operation), answer)).toBe(gives);
  });
});

test('each answer that openapi.yaml documents is brought about here', () => {
  const seen = new Set(rows.map(({ operation, gives }) => `${operation} ${gives}`));
  const documented = contract.operations.flatMap((operation) =>
    outcomesOf(operation).map((gives) => `${operation.operationId} ${gives}`),
  );
  expect(documented.filter((outcome) => !seen.has(outcome))).toEqual([]);
});
