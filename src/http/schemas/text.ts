import { z } from 'zod';
import { hasControlCharacters } from '../../core/message/address.ts';
import type { BodyText } from '../../core/message/body-text.ts';

/** RFC 5322, section 2.1.1: a line of a header has at most 998 characters. */
const MAX_LINE_LENGTH = 998;

/** One line of text that can be used in a header. */
export function line(maxLength = MAX_LINE_LENGTH, minLength = 1) {
  return z
    .string()
    .min(minLength)
    .max(maxLength)
    .refine((text) => !hasControlCharacters(text), {
      error: 'Contains a control character, such as a line break, or half of a surrogate pair: remove it.',
      params: { code: 'control_character' },
    });
}

/**
 * Refuses text that not every program can store: lone surrogates, which UTF-8 cannot encode, and
 * NUL.
 */
export function portable<Schema extends z.ZodType<BodyText>>(text: Schema): Schema {
  return text
    .refine((value) => typeof value !== 'string' || value.isWellFormed(), {
      error: 'Contains half of a surrogate pair, which UTF-8 cannot encode: send whole characters.',
      params: { code: 'invalid_unicode' },
    })
    .refine((value) => typeof value !== 'string' || !value.includes('\0'), {
      error: 'Contains a NUL character, U+0000: remove it.',
      params: { code: 'control_character' },
    });
}

/** Text of any length and any number of lines. */
export const prose = portable(z.string().min(1));

/** The text or html of a message: {@link prose}, or bytes if the reader of a large body made some. */
export const bodyText = portable(
  z.unknown().transform((value, context): BodyText => {
    if (typeof value === 'string' || value instanceof Uint8Array) return value;
    context.addIssue({ code: 'invalid_type', expected: 'string', input: value });
    return z.NEVER;
  }),
).meta({ type: 'string' });

/** An instant, as epoch milliseconds. */
export const instant = z.iso
  .datetime({
    offset: true,
    error:
      'Must be a date and time with an offset, such as "2027-01-01T09:00:00Z" or "2027-01-01T10:00:00+01:00".',
  })
  .transform((text) => Date.parse(text));

const MAX_LABELS = 50;

export const labelName = portable(z.string().min(1).max(64));

/**
 * Stores a number as JavaScript prints it. Larger integers lost digits when the body was parsed, so
 * they are refused.
 */
export const labelValue = z
  .preprocess(
    (value: string | number | boolean, context) => {
      if (typeof value === 'boolean') return String(value);
      if (typeof value !== 'number') return value;
      if (Number.isFinite(value) && (Number.isSafeInteger(value) || !Number.isInteger(value)))
        return String(value);
      context.addIssue({
        code: 'custom',
        message: `The number is too large to be stored exactly (at most ${Number.MAX_SAFE_INTEGER}): send it as a string.`,
        params: { code: 'out_of_range' },
      });
      return z.NEVER;
    },
    portable(z.string().max(512)),
  )
  .meta({ type: ['string', 'number', 'boolean'] });

/** A map of short strings to find a message by. It is never part of the mail. */
export const labels = z.record(labelName, labelValue).refine((map) => Object.keys(map).length <= MAX_LABELS, {
  error: `Must have at most ${MAX_LABELS} entries.`,
  params: { code: 'too_many' },
});
