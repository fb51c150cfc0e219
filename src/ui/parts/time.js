import { html } from '../lit-html/lit-html.js';
import { duration, fullTime, preciseTime, shortTime } from './format.js';

/**
 * A time in the user's time zone. Its tooltip has the whole of it.
 *
 * @param {string} time
 */
export function timeOf(time) {
  return html`<time datetime=${time} title=${fullTime(time)}>${shortTime(time)}</time>`;
}

/**
 * A time with its distance from now, such as `14:05 (in 20 min)`.
 *
 * @param {string} time
 */
export function timeAndDistance(time) {
  const ms = Date.parse(time) - Date.now();
  return html`${timeOf(time)} (${ms > 0 ? `in ${duration(ms)}` : `${duration(-ms)} ago`})`;
}

/**
 * As {@link timeOf}, with seconds.
 *
 * @param {string} time
 */
export function preciseTimeOf(time) {
  return html`<time datetime=${time} title=${fullTime(time)}>${preciseTime(time)}</time>`;
}
