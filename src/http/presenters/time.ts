/**
 * The second formatted last, without its fraction. Most calls share it, and formatting a date is
 * slow.
 */
let lastSecond = { at: Number.NaN, text: '' };

/** Formats epoch milliseconds as ISO 8601 in UTC. */
export function toIso(at: number): string {
  const ms = at % 1000;
  if (lastSecond.at !== at - ms)
    lastSecond = { at: at - ms, text: new Date(at - ms).toISOString().slice(0, -4) };
  return `${lastSecond.text}${String(ms).padStart(3, '0')}Z`;
}

/** As {@link toIso}; null stays null. */
export function toIsoOrNull(at: number | null): string | null {
  return at === null ? null : toIso(at);
}
