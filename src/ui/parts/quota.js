import { html, nothing } from '../lit-html/lit-html.js';
import { number } from './format.js';

/** @import { QuotaUsage } from '../../client/schema.ts' */

const WIDTH = 400;
/** Share of the quota from which the bar warns. */
const HIGH = 0.9;

/**
 * A quota as a bar: what is used, and the reserve for high priority at its end.
 *
 * @param {string} noun `messages`
 * @param {QuotaUsage} usage
 * @param {number} reserve Share of the quota.
 */
export function quotaBar(noun, { limit, learned, used, left }, reserve) {
  const max = learned ?? limit;
  const share = max === 0 ? 1 : Math.min(1, used / max);
  const tone = share >= 1 ? 'bad' : share >= HIGH ? 'wait' : 'good';
  return html`
    <div class="quota">
      <p>
        <strong>${number(used)}</strong> of ${number(max)} ${noun} in 24 h
        <span class="hint">
          ${left === 0 ? 'nothing left' : `${number(left)} left${describeReserve(left, Math.round(max * reserve))}`}${learned === null ? nothing : `; Gmail enforced less than the configured ${number(limit)}`}
        </span>
      </p>
      <svg class="meter ${tone}" viewBox="0 0 ${WIDTH} 8" preserveAspectRatio="none" aria-hidden="true">
        <rect class="track" width=${WIDTH} height="8"></rect>
        <rect class="reserve" x=${WIDTH * (1 - reserve)} width=${WIDTH * reserve} height="8"></rect>
        <rect class="used" width=${WIDTH * share} height="8"></rect>
      </svg>
    </div>
  `;
}

/**
 * @param {number} left
 * @param {number} reserve Part of the quota that only high priority may use.
 */
function describeReserve(left, reserve) {
  if (reserve === 0) return '';
  return left > reserve
    ? `, ${number(reserve)} of it reserved for high priority`
    : ', reserved for high priority';
}
