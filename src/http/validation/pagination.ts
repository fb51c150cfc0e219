import { z } from 'zod';

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;

/** A whole number in a query string, where everything is text. */
export function wholeNumber(min: number, max: number) {
  const isFit = (text: string) => /^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max;
  return z
    .string()
    .refine(isFit, { error: `Must be a whole number from ${min} to ${max}.` })
    .transform(Number)
    .meta({ type: 'integer', minimum: min, maximum: max });
}

/** How many items a page of a list has at most. */
export const limit = wholeNumber(1, MAX_LIMIT)
  .default(DEFAULT_LIMIT)
  .meta({ description: `The maximum number of items, ${DEFAULT_LIMIT} by default.` });

/** The place where a page ends, as text that means nothing to callers. */
export function toCursor(parts: readonly string[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** What {@link toCursor} was given; null if the text is none of its making. */
function parseCursor(text: string): readonly string[] | null {
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    return Array.isArray(parts) && parts.every((part) => typeof part === 'string') ? parts : null;
  } catch {
    return null;
  }
}

/**
 * Where a page begins: after the place where another ended.
 *
 * @param read makes a place of the parts that {@link toCursor} was given; null if they are none of this list
 */
export function cursor<Place>(read: (parts: readonly string[]) => Place | null) {
  return z
    .string()
    .transform((text, context) => {
      const parts = parseCursor(text);
      const place = parts && read(parts);
      if (place !== null) return place;
      context.addIssue({
        code: 'custom',
        message: 'Must be the next_cursor of a page of this list: omit it for the first page.',
      });
      return z.NEVER;
    })
    .optional()
    .meta({ description: 'The `next_cursor` of the previous page.' });
}

/** What follows a page, or null at the end of the list. */
export const nextCursor = z
  .string()
  .nullable()
  .meta({ description: 'The `cursor` of the next page. Null on the last page.' });

/**
 * One page of a list, out of one item more than it may have.
 *
 * @param locate what a cursor must hold to find the place of an item
 */
export function toPage<Item>(found: readonly Item[], max: number, locate: (item: Item) => readonly string[]) {
  const items = found.slice(0, max);
  const last = items.at(-1);
  return { items, next_cursor: found.length > max && last !== undefined ? toCursor(locate(last)) : null };
}
