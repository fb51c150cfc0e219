const NUMBER = new Intl.NumberFormat('en');
const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const SHORT_CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const DAY_AND_YEAR = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
const FULL = new Intl.DateTimeFormat('en-GB', { dateStyle: 'full', timeStyle: 'long' });

const MINUTE_S = 60;
const HOUR_S = 60 * MINUTE_S;
const DAY_S = 24 * HOUR_S;

/** @param {number} value */
export function number(value) {
  return NUMBER.format(value);
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function count(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/**
 * As {@link shortTime}, with seconds.
 *
 * @param {string} time
 */
export function preciseTime(time) {
  return shortTime(time, CLOCK);
}

/** @param {number | string} time */
export function clock(time) {
  return CLOCK.format(new Date(time));
}

/** @param {string} time */
export function fullTime(time) {
  return FULL.format(new Date(time));
}

/**
 * Returns a time in the user's time zone, with the day unless it is today.
 *
 * @param {string} time
 * @param {Intl.DateTimeFormat} [format]
 */
export function shortTime(time, format = SHORT_CLOCK) {
  const date = new Date(time);
  const now = new Date();
  const hour = format.format(date);
  if (date.toDateString() === now.toDateString()) return hour;
  return `${date.getFullYear() === now.getFullYear() ? DAY.format(date) : DAY_AND_YEAR.format(date)}, ${hour}`;
}

/**
 * Returns a duration in its two largest units, such as `3 h 5 min`.
 *
 * @param {number} ms
 */
export function duration(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < MINUTE_S) return `${s} s`;
  const parts = [
    [Math.floor(s / DAY_S), 'd'],
    [Math.floor((s % DAY_S) / HOUR_S), 'h'],
    [Math.floor((s % HOUR_S) / MINUTE_S), 'min'],
  ];
  const first = parts.findIndex(([value]) => value !== 0);
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value !== 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ');
}

/**
 * Returns how long something took.
 *
 * @param {number} ms
 */
export function elapsed(ms) {
  if (ms < 1000) return `${ms} ms`;
  return ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms);
}

/** @param {number} value */
export function bytes(value) {
  if (value < 1000) return `${value} bytes`;
  if (value < 1_000_000) return `${NUMBER.format(Math.round(value / 100) / 10)} kB`;
  return `${NUMBER.format(Math.round(value / 100_000) / 10)} MB`;
}

/**
 * Returns a time for an input of type `datetime-local`.
 *
 * @param {string} time Empty or invalid: returns an empty text.
 */
export function localInput(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return '';
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
