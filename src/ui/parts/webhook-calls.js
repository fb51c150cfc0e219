import { describeFailure } from '../app.js';
import { repeat } from '../lit-html/directives/repeat.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { linkTo } from '../router.js';
import { count } from './format.js';
import { timeAndDistance, timeOf } from './time.js';

/** @import { Result } from '../api.js' */
/** @import { App } from '../app.js' */

/**
 * One event for one endpoint.
 *
 * @typedef {Result<'listWebhookDeliveries'>['deliveries'][number]} Delivery
 */

/**
 * Webhook calls that wait or failed, each with a button that repeats it.
 *
 * @param {App} app
 * @param {readonly Delivery[]} deliveries
 * @param {object} options
 * @param {boolean} options.linksMessage Whether each call names its message.
 * @param {() => void} options.onReplayed
 */
export function webhookCalls(app, deliveries, { linksMessage, onReplayed }) {
  return html`
    <ul class="records">
      ${repeat(
        deliveries,
        ({ id }) => id,
        (delivery) => html`
          <li>
            ${renderCall(delivery, linksMessage)}
            ${
              app.can('send')
                ? html`
                    <button
                      type="button"
                      aria-label=${`Replay ${delivery.type} to ${delivery.endpoint}`}
                      @click=${() => replay(app, delivery, onReplayed)}
                    >
                      Replay
                    </button>
                  `
                : nothing
            }
          </li>
        `,
      )}
    </ul>
  `;
}

/**
 * @param {App} app
 * @param {Delivery} delivery
 * @param {() => void} onReplayed
 */
async function replay(app, { id, type, endpoint }, onReplayed) {
  const answer = await app.confirm({
    title: 'Call the endpoint again?',
    text: html`<p><code>${type}</code> goes to <strong>${endpoint}</strong> with the same <code>webhook-id</code>, so the endpoint can recognize it.</p>`,
    action: 'Replay',
  });
  if (answer === null) return;
  try {
    await app.api.request('POST', `webhooks/deliveries/${encodeURIComponent(id)}/replay`);
    app.announce('The event is sent again.');
    onReplayed();
  } catch (error) {
    app.announce(describeFailure(error));
  }
}

/**
 * @param {Delivery} delivery
 * @param {boolean} linksMessage
 */
function renderCall(delivery, linksMessage) {
  const { type, endpoint, status, calls, reason, message, account } = delivery;
  const { created_at: created, next_call_at: next, finished_at: finished } = delivery;
  const isFailed = status === 'failed';
  const subject =
    message === null ? account : html`<a href=${linkTo(['messages', message])}>this message</a>`;
  return html`
    <div class="record">
      <p>
        <strong>${type}</strong>
        <span class="status ${isFailed ? 'bad' : 'wait'}">${isFailed ? 'Failed' : 'Waiting'}</span>
      </p>
      <p>To ${endpoint}</p>
      ${reason === null ? nothing : html`<p class="reply">${reason}</p>`}
      <p class="hint">
        ${count(calls, 'failed call')}${linksMessage ? html`, for ${subject}` : nothing},
        since ${timeOf(created)}${next === null ? nothing : html`; next call at ${timeAndDistance(next)}`}${finished === null ? nothing : html`; given up at ${timeOf(finished)}`}
      </p>
    </div>
  `;
}
