import { z } from 'zod';
import { hasControlCharacters } from '../../core/message/address.ts';

/** RFC 5322, section 2.1.1: a line of a header has at most 998 characters. */
const MAX_LINE_LENGTH = 998;

/** A text of one line, fit for a header. */
export function line(maxLength = MAX_LINE_LENGTH, minLength = 1) {
  return z
    .string()
    .min(minLength)
    .max(maxLength)
    .refine((text) => !hasControlCharacters(text), {
      error: 'Has a control character, such as a line break, or half of a surrogate pair: remove it.',
      params: { code: 'control_character' },
    });
}

/** The same text, if every program can carry it: without lone surrogates, which UTF-8 cannot encode, and without NUL. */
export function portable(text: z.ZodString) {
  return text
    .refine((value) => value.isWellFormed(), {
      error: 'Has half of a surrogate pair, which UTF-8 cannot carry: send whole characters.',
      params: { code: 'invalid_unicode' },
    })
    .refine((value) => !value.includes('\0'), {
      error: 'Has a NUL character, U+0000: remove it.',
      params: { code: 'control_character' },
    });
}

/** A text of any length and any number of lines. */
export const prose = portable(z.string().min(1));

/** An instant, as epoch milliseconds. */
export const instant = z.iso
  .datetime({
    offset: true,
    error:
      'Must be a date and time with its offset, such as "2027-01-01T09:00:00Z" or "2027-01-01T10:00:00+01:00".',
  })
  .transform((text) => Date.parse(text));

const MAX_LABELS = 50;

export const labelName = portable(z.string().min(1).max(64));

/** A number is kept as JavaScript prints it. A larger integer has lost digits when the body was parsed, so that another number would be kept. */
export const labelValue = z
  .preprocess(
    (value: string | number | boolean, context) => {
      if (typeof value === 'boolean') return String(value);
      if (typeof value !== 'number') return value;
      if (Number.isFinite(value) && (Number.isSafeInteger(value) || !Number.isInteger(value)))
        return String(value);
      context.addIssue({
        code: 'custom',
        message: `The number is too large to be kept exactly (${Number.MAX_SAFE_INTEGER} at most): send it as a string.`,
        params: { code: 'out_of_range' },
      });
      return z.NEVER;
    },
    portable(z.string().max(512)),
  )
  .meta({ type: ['string', 'number', 'boolean'] });

/** What a caller wants to find again: a map of short texts that never goes into the mail. */
export const labels = z.record(labelName, labelValue).refine((map) => Object.keys(map).length <= MAX_LABELS, {
  error: `Must have at most ${MAX_LABELS} entries.`,
  params: { code: 'too_many' },
});
