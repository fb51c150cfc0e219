import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyRequest } from 'fastify';
import { AppError } from '../../core/errors.ts';
import { toAppError } from '../errors/error-handler.ts';

/** Maximum number of JSON values in the body of a batch: 100 messages with many recipients each. */
export const MAX_BATCH_VALUES = 200_000;

/** An item of a batch that is invalid or was not accepted. */
export interface RefusedItem {
  readonly kind: 'refused';
  readonly error: AppError;
}

/** An item of a batch after validation. */
export type BatchItem<Value> = { readonly kind: 'valid'; readonly value: Value } | RefusedItem;

/** The result for an item of a batch. */
export type ItemResult<Result> = { readonly kind: 'accepted'; readonly result: Result } | RefusedItem;

/** How long items are validated before the event loop gets a turn, in ms. */
const MAX_TURN_MS = 10;

/**
 * Validates each item on its own, so that an invalid one does not affect the rest. 10,000 recipients
 * can take 100 ms, so the event loop gets turns between items.
 */
export async function parseItems<Value>(
  items: readonly unknown[],
  parse: (item: unknown) => Value,
): Promise<BatchItem<Value>[]> {
  const parsed: BatchItem<Value>[] = [];
  let turnBegan = performance.now();
  for (const item of items) {
    parsed.push(parseItem(item, parse));
    if (performance.now() - turnBegan < MAX_TURN_MS) continue;
    await nextTurn();
    turnBegan = performance.now();
  }
  return parsed;
}

function parseItem<Value>(item: unknown, parse: (item: unknown) => Value): BatchItem<Value> {
  try {
    return { kind: 'valid', value: parse(item) };
  } catch (error) {
    if (error instanceof AppError) return { kind: 'refused', error };
    throw error;
  }
}

/**
 * Submits the items of a batch in order and returns their results in the same order.
 *
 * @param options `stopAtRefusal`: ends after the first refused item.
 */
export async function submitEach<Value, Result>(
  items: readonly BatchItem<Value>[],
  request: FastifyRequest,
  submit: (value: Value, index: number) => Promise<Result>,
  { stopAtRefusal = false } = {},
): Promise<ItemResult<Result>[]> {
  const results: ItemResult<Result>[] = [];
  for (const [index, item] of items.entries()) {
    const result = await submitItem(item, index, request, submit);
    results.push(result);
    if (stopAtRefusal && result.kind === 'refused') break;
  }
  return results;
}

/** Submits one item of a batch. An error becomes its result. */
export async function submitItem<Value, Result>(
  item: BatchItem<Value>,
  index: number,
  request: FastifyRequest,
  submit: (value: Value, index: number) => Promise<Result>,
): Promise<ItemResult<Result>> {
  if (item.kind === 'refused') return item;
  try {
    return { kind: 'accepted', result: await submit(item.value, index) };
  } catch (thrown) {
    const error = toAppError(thrown, request);
    // The log line of a request has room for one failure.
    if (error.code === 'internal_error') request.failure = error;
    return { kind: 'refused', error };
  }
}
