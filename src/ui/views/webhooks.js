import { describeFailure } from '../app.js';
import { repeat } from '../lit-html/directives/repeat.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { count } from '../parts/format.js';
import { timeAndDistance, timeOf } from '../parts/time.js';
import { linkTo } from '../router.js';

/** @import { Result } from '../api.js' */
/** @import { App, View } from '../app.js' */
/** @import { Route } from '../router.js' */

/**
 * One event for one endpoint.
 *
 * @typedef {Result<'listWebhookDeliveries'>['deliveries'][number]} Delivery
 */

const PAGE_SIZE = 50;
const EVERY_S = 5;

/** Choices of the list. */
const GROUPS = /** @type {const} */ ([
  ['failed', 'Failed', 'No call has failed for good.'],
  ['waiting', 'Waiting', 'No call waits.'],
]);

/**
 * The calls of webhooks that failed or wait.
 *
 * @type {View}
 */
export const webhooks = {
  name: 'webhooks',
  title: 'Webhooks',
  isAvailable: (app) => app.can('read'),
  open(app, start) {
    let route = start;
    /** @type {Delivery[] | null} */
    let found = null;
    /** @type {string | null} */
    let nextCursor = null;
    let result = '';

    const polling = app.poll(
      async (signal) => {
        const query = {
          status: statusOf(route),
          limit: String(PAGE_SIZE),
          cursor: route.params.get('cursor'),
        };
        ({ deliveries: found, next_cursor: nextCursor } = await app.api.get('webhooks/deliveries', {
          query,
          signal,
        }));
        app.update();
      },
      { everyS: EVERY_S },
    );

    async function replay(/** @type {Delivery} */ { id, type, endpoint }) {
      const answer = await app.confirm({
        title: 'Call the endpoint again?',
        text: html`<p><code>${type}</code> goes to <strong>${endpoint}</strong> with the same <code>webhook-id</code>, so the endpoint can recognize it.</p>`,
        action: 'Replay',
      });
      if (answer === null) return;
      try {
        await app.api.request('POST', `webhooks/deliveries/${encodeURIComponent(id)}/replay`);
        app.announce('The event is sent again.');
        polling.now();
      } catch (error) {
        app.announce(describeFailure(error));
      }
    }

    async function test(/** @type {SubmitEvent} */ event) {
      event.preventDefault();
      const url = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get('url') ?? '').trim();
      result = 'Calling…';
      app.update();
      try {
        const { data } = await app.api.request('POST', 'webhooks/test', { body: url === '' ? {} : { url } });
        result = data.delivered
          ? `${data.endpoint} accepted the call after ${data.duration_ms} ms.`
          : `${data.endpoint} did not accept the call: ${data.reason}`;
      } catch (error) {
        result = describeFailure(error);
      }
      app.update();
    }

    return {
      title: 'Webhooks',
      change(next) {
        route = next;
        found = null;
        polling.now();
        return true;
      },
      render: () => html`
        <h1>Webhooks</h1>
        <p class="lead">Events that no endpoint has accepted yet. Accepted ones are not kept.</p>
        <div class="tabs" role="group" aria-label="Calls">
          ${GROUPS.map(
            ([status, label]) => html`
              <a
                class="button"
                href=${linkTo(['webhooks'], { status })}
                aria-current=${status === statusOf(route) ? 'true' : nothing}
                >${label}</a
              >
            `,
          )}
        </div>
        ${renderList(app, route, { found, nextCursor, replay })}
        ${app.can('send') ? renderTest(test, result) : nothing}
      `,
    };
  },
};

/** @param {Route} route */
function statusOf({ params }) {
  return params.get('status') === 'waiting' ? 'waiting' : 'failed';
}

/**
 * @param {App} app
 * @param {Route} route
 * @param {object} state
 * @param {Delivery[] | null} state.found
 * @param {string | null} state.nextCursor
 * @param {(delivery: Delivery) => void} state.replay
 */
function renderList(app, route, { found, nextCursor, replay }) {
  const status = statusOf(route);
  const cursor = route.params.get('cursor');
  if (found === null) return html`<p class="loading" aria-busy="true">Loading…</p>`;
  if (found.length === 0) return html`<p class="empty">${GROUPS.find(([name]) => name === status)?.[2]}</p>`;
  return html`
    <ul class="records">
      ${repeat(
        found,
        ({ id }) => id,
        (delivery) => html`<li>${renderRow(app, delivery, replay)}</li>`,
      )}
    </ul>
    <nav class="pages" aria-label="Pages">
      ${cursor ? html`<a href=${linkTo(['webhooks'], { status })}>Newest</a>` : nothing}
      ${nextCursor ? html`<a href=${linkTo(['webhooks'], { status, cursor: nextCursor })}>Older</a>` : nothing}
    </nav>
  `;
}

/**
 * @param {App} app
 * @param {Delivery} delivery
 * @param {(delivery: Delivery) => void} replay
 */
function renderRow(app, delivery, replay) {
  const { type, endpoint, status, calls, reason, message, account } = delivery;
  const isFailed = status === 'failed';
  return html`
    <div class="record">
      <p>
        <strong>${type}</strong>
        <span class="status ${isFailed ? 'bad' : 'wait'}">${isFailed ? 'Failed' : 'Waiting'}</span>
      </p>
      <p>To ${endpoint}</p>
      ${reason === null ? nothing : html`<p class="reply">${reason}</p>`}
      <p class="hint">
        ${count(calls, 'failed call')}, for
        ${message === null ? account : html`<a href=${linkTo(['messages', message])}>this message</a>`},
        since ${timeOf(delivery.created_at)}${
          delivery.next_call_at === null
            ? nothing
            : html`; next call at ${timeAndDistance(delivery.next_call_at)}`
        }${delivery.finished_at === null ? nothing : html`; given up at ${timeOf(delivery.finished_at)}`}
      </p>
    </div>
    ${
      app.can('send')
        ? html`<button type="button" aria-label=${`Replay ${type} to ${endpoint}`} @click=${() => replay(delivery)}>Replay</button>`
        : nothing
    }
  `;
}

/**
 * @param {(event: SubmitEvent) => void} test
 * @param {string} result
 */
function renderTest(test, result) {
  return html`
    <section aria-labelledby="test">
      <h2 id="test">Test an endpoint</h2>
      <form class="add" @submit=${test}>
        <div>
          <label for="test-url">URL (optional: that of the key or the service)</label>
          <input id="test-url" name="url" type="url" autocomplete="off" placeholder="https://crm.example.com/hooks/mail" />
        </div>
        <button class="primary">Send a test event</button>
      </form>
      <p class="hint" role="status">${result}</p>
    </section>
  `;
}
