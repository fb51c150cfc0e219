import { z } from 'zod';

const MAX_WAIT_SECONDS = 60;
/** Longer than any sensible header; keeps what follows from costing much. */
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
 * The seconds to wait for a caller, from a `Prefer` header (RFC 7240; several headers come joined by commas): as many as it asks for, at most 60.
 * Null if it says nothing of `wait`, or something that cannot be honoured: such preferences are ignored.
 */
export function parseWait(prefer: string | undefined): number | null {
  if (prefer === undefined || prefer.length > MAX_HEADER_LENGTH) return null;
  // A quoted string may hold what otherwise ends a preference.
  const unquoted = prefer.replace(/"((?:[^"\\]|\\.)*)"/g, (_, text: string) => text.replace(/[,;=]/g, '_'));
  for (const preference of unquoted.split(',')) {
    const [name = '', value = ''] = (preference.split(';')[0] ?? '').split('=');
    // Of a preference given twice only the first counts.
    if (name.trim().toLowerCase() === 'wait') return toSeconds(value.trim());
  }
  return null;
}

function toSeconds(text: string): number | null {
  const seconds = /^\d+$/.test(text) ? Number(text) : 0;
  return seconds >= 1 ? Math.min(seconds, MAX_WAIT_SECONDS) : null;
}
