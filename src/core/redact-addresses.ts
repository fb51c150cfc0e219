const ADDRESS = /<[^<>]*(?:@|%40)[^<>]*>|"[^"]*"@\S+|[^\s<>"]+(?:@|%40)[^\s<>"]+/gi;
const REDACTED = '[address]';
/** The last word of a text that was cut may be the start of an address. */
const CUT_WORD = /\S+…$/;

/**
 * Replaces every address in text that a mail server sent.
 *
 * @param known Addresses that the text may name. They are also found where Gmail wrapped its reply:
 *   once lines are joined, any character may be followed by a blank.
 */
export function redactAddresses(text: string, known: readonly string[] = []): string {
  const uncut = text.replace(CUT_WORD, '…');
  if (!/@|%40/i.test(uncut)) return uncut;
  return named(uncut, known)
    .reduce((shown, email) => shown.replace(toWrapped(email), REDACTED), uncut)
    .replace(ADDRESS, REDACTED);
}

/** Returns the addresses that the text names, wrapped or not. A message has up to 2,000. */
function named(text: string, known: readonly string[]): string[] {
  const unwrapped = text.replaceAll(' ', '').toLowerCase();
  return known.filter((email) => unwrapped.includes(email.toLowerCase()));
}

function toWrapped(email: string): RegExp {
  return new RegExp(Array.from(email, RegExp.escape).join(' ?'), 'gi');
}
