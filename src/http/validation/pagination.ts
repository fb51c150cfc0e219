import { z } from 'zod';

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;

/** A whole number in a query string, which holds only text. */
export function wholeNumber(min: number, max: number) {
  const isFit = (text: string) => /^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max;
  return z
    .string()
    .refine(isFit, { error: `Must be a whole number from ${min} to ${max}.` })
    .transform(Number)
    .meta({ type: 'integer', minimum: min, maximum: max });
}

/** Maximum number of items on a page. */
export const limit = wholeNumber(1, MAX_LIMIT)
  .default(DEFAULT_LIMIT)
  .meta({ description: `The maximum number of items, ${DEFAULT_LIMIT} by default.` });

/** Encodes the position at the end of a page as text that is opaque to clients. */
export function toCursor(parts: readonly string[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** Decodes the text of {@link toCursor}; null if it has another form. */
function parseCursor(text: string): readonly string[] | null {
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    return Array.isArray(parts) && parts.every((part) => typeof part === 'string') ? parts : null;
  } catch {
    return null;
  }
}

/**
 * Query parameter for the position after which a page begins.
 *
 * @param parse Turns the parts given to {@link toCursor} into a position; returns null for parts of
 *   another list.
 */
export function cursor<Position>(parse: (parts: readonly string[]) => Position | null) {
  return z
    .string()
    .transform((text, context) => {
      const parts = parseCursor(text);
      const position = parts && parse(parts);
      if (position !== null) return position;
      context.addIssue({
        code: 'custom',
        message: 'Must be the next_cursor of a page of this list: omit it for the first page.',
      });
      return z.NEVER;
    })
    .optional()
    .meta({ description: 'The `next_cursor` of the previous page.' });
}

/** Cursor of the next page; null on the last one. */
export const nextCursor = z
  .string()
  .nullable()
  .meta({ description: 'The `cursor` of the next page. Null on the last page.' });

/**
 * Makes a page of at most `max` items from a result that was queried with a limit of `max + 1`.
 *
 * @param locate Returns the parts of a cursor that continues after an item.
 */
export function toPage<Item>(found: readonly Item[], max: number, locate: (item: Item) => readonly string[]) {
  const items = found.slice(0, max);
  const last = items.at(-1);
  return { items, next_cursor: found.length > max && last !== undefined ? toCursor(locate(last)) : null };
}
