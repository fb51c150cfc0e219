import { html, svg } from '../lit-html/lit-html.js';
import { number, shortTime } from './format.js';

/** @import { Result } from '../api.js' */

const BAR = 20;
const HEIGHT = 96;

/**
 * Sent and failed messages by hour, as stacked bars with a table as the alternative.
 *
 * @param {Result<'getStats'>['last_24h']['by_hour']} hours Oldest first.
 */
export function hourChart(hours) {
  const highest = Math.max(1, ...hours.map(({ sent, failed }) => sent + failed));
  /** @param {number} value */
  const scale = (value) => (value === 0 ? 0 : Math.max(2, (value / highest) * HEIGHT));
  const busiest = hours.find(({ sent, failed }) => sent + failed === highest);
  const summary = busiest
    ? `Bars for ${hours.length} hours. Most in the hour from ${shortTime(busiest.hour)}: ${busiest.sent} sent, ${busiest.failed} failed.`
    : `Bars for ${hours.length} hours, all empty.`;
  return html`
    <figure class="chart">
      <svg
        viewBox="0 0 ${hours.length * BAR} ${HEIGHT}"
        preserveAspectRatio="none"
        role="img"
        aria-label=${summary}
      >
        ${hours.map(({ hour, sent, failed }, index) => {
          const [good, bad] = [scale(sent), scale(failed)];
          return svg`
            <g>
              <title>${shortTime(hour)}: ${number(sent)} sent, ${number(failed)} failed</title>
              <rect class="slot" x=${index * BAR} y="0" width=${BAR} height=${HEIGHT}></rect>
              <rect class="base" x=${index * BAR + 2} y=${HEIGHT - 1} width=${BAR - 4} height="1"></rect>
              <rect class="sent" x=${index * BAR + 2} y=${HEIGHT - good} width=${BAR - 4} height=${good}></rect>
              <rect class="failed" x=${index * BAR + 2} y=${Math.max(0, HEIGHT - good - bad)} width=${BAR - 4} height=${bad}></rect>
            </g>`;
        })}
      </svg>
      <figcaption>
        <span>${hours[0] ? shortTime(hours[0].hour) : ''}</span>
        <span class="legend"><i class="sent"></i>sent <i class="failed"></i>failed, by hour</span>
        <span>now</span>
      </figcaption>
      <details>
        <summary>As a table</summary>
        <table>
          <thead>
            <tr><th scope="col">Hour from</th><th scope="col">Sent</th><th scope="col">Failed</th></tr>
          </thead>
          <tbody>
            ${hours.map(
              ({ hour, sent, failed }) => html`
                <tr><td>${shortTime(hour)}</td><td>${number(sent)}</td><td>${number(failed)}</td></tr>
              `,
            )}
          </tbody>
        </table>
      </details>
    </figure>
  `;
}
