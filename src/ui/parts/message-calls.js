import { html, nothing } from '../lit-html/lit-html.js';
import { webhookCalls } from './webhook-calls.js';

/** @import { App } from '../app.js' */
/** @import { Delivery } from './webhook-calls.js' */

/** Not more often, because the service reads all waiting calls to find those of one message. */
const WAITING_EVERY_S = 5;
const EVERY_S = 15;
/** Maximum number of calls that are shown. */
const LIMIT = 50;

/**
 * The webhook calls of a message that wait or failed. Shows nothing if there are none.
 *
 * @param {App} app
 * @param {string} id Of the message.
 * @param {number} cost Requests that the screen makes each time, for `app.poll`.
 */
export function createMessageCalls(app, id, cost) {
  /** @type {readonly Delivery[]} */
  let calls = [];

  const polling = app.poll(
    async (signal) => {
      const query = { message: id, limit: String(LIMIT) };
      calls = (await app.api.get('webhooks/deliveries', { query, signal })).deliveries;
      app.update();
    },
    { everyS: () => (calls.some(({ status }) => status === 'waiting') ? WAITING_EVERY_S : EVERY_S), cost },
  );

  return {
    render: () =>
      calls.length === 0
        ? nothing
        : html`
            <section aria-labelledby="calls">
              <h2 id="calls">Webhook calls</h2>
              <p class="hint">Events of this message that no endpoint has accepted yet.</p>
              ${webhookCalls(app, calls, { linksMessage: false, onReplayed: polling.now })}
            </section>
          `,
  };
}
