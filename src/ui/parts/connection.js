import { html } from '../lit-html/lit-html.js';
import { clock } from './format.js';

/** @import { Connection } from '../poll.js' */

const TITLES = {
  lost: 'Connection lost.',
  failing: 'The service has a problem.',
  limited: 'Updates are paused.',
};

/**
 * Says that the page does not show the current state, and why.
 *
 * @param {Connection} connection
 * @param {() => void} retry
 */
export function connectionNotice(connection, retry) {
  return html`
    <div role="status" class="connection">
      ${
        connection.kind === 'ok'
          ? ''
          : html`
              <p>
                <strong>${TITLES[connection.kind]}</strong> ${connection.detail} The page shows the last known
                state, and tries again at ${clock(connection.retryAt)}.
              </p>
              <button type="button" @click=${retry}>Try now</button>
            `
      }
    </div>
  `;
}
