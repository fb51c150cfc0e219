/** Units of time, in ms. */
export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Maximum number of formatted seconds that are kept. */
const MAX_SECONDS = 1000;

/**
 * Seconds formatted before, without their fractions, by epoch ms. Most calls share a few, and
 * formatting a date is slow.
 */
const seconds = new Map<number, string>();

/** Formats epoch milliseconds as ISO 8601 in UTC. */
export function toIso(at: number): string {
  const ms = at % 1000;
  return `${formatSecond(at - ms)}${String(ms).padStart(3, '0')}Z`;
}

function formatSecond(at: number): string {
  let text = seconds.get(at);
  if (text === undefined) {
    text = new Date(at).toISOString().slice(0, -4);
    if (seconds.size >= MAX_SECONDS) seconds.clear();
    seconds.set(at, text);
  }
  return text;
}

/** As {@link toIso}; null stays null. */
export function toIsoOrNull(at: number | null): string | null {
  return at === null ? null : toIso(at);
}
