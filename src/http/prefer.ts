const MAX_WAIT_SECONDS = 60;
/** Longer than any sensible header; keeps what follows from costing much. */
const MAX_HEADER_LENGTH = 500;

/**
 * The seconds a caller is willing to wait, from a `Prefer` header (RFC 7240; several headers come joined by commas). Null if it says nothing
 * of `wait`, or something that cannot be honoured: such preferences are ignored.
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
  return seconds >= 1 && seconds <= MAX_WAIT_SECONDS ? seconds : null;
}
