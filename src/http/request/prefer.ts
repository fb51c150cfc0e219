import { z } from 'zod';

const MAX_WAIT_SECONDS = 60;
/** Longer than any reasonable header. Bounds the cost of parsing. */
const MAX_HEADER_LENGTH = 500;

/** The `Prefer` header. It has no example here: `/docs` would fill it in. */
export const preferWait = z.string().optional().meta({
  description:
    '`wait=N` (RFC 7240): responds when the message is settled, or after N seconds. N is 1 to 60; higher values count as 60.',
});

export const PREFERENCE_APPLIED = {
  'Preference-Applied': {
    type: 'string',
    description: 'The preference that was applied.',
    examples: ['wait=10'],
  },
};

/**
 * Returns the seconds to wait from a `Prefer` header (RFC 7240), at most 60. Null without a valid
 * `wait`: other preferences are ignored.
 *
 * @param prefer Several headers are joined by commas.
 */
export function parseWait(prefer: string | undefined): number | null {
  if (prefer === undefined || prefer.length > MAX_HEADER_LENGTH) return null;
  // A quoted string may contain separators.
  const unquoted = prefer.replace(/"((?:[^"\\]|\\.)*)"/g, (_, text: string) => text.replace(/[,;=]/g, '_'));
  for (const preference of unquoted.split(',')) {
    const [name = '', value = ''] = (preference.split(';')[0] ?? '').split('=');
    // Of repeated preferences only the first counts.
    if (name.trim().toLowerCase() === 'wait') return toSeconds(value.trim());
  }
  return null;
}

function toSeconds(text: string): number | null {
  const seconds = /^\d+$/.test(text) ? Number(text) : 0;
  return seconds >= 1 ? Math.min(seconds, MAX_WAIT_SECONDS) : null;
}
