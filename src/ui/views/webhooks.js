import { describeFailure } from '../app.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { webhookCalls } from '../parts/webhook-calls.js';
import { linkTo } from '../router.js';

/** @import { App, View } from '../app.js' */
/** @import { Delivery } from '../parts/webhook-calls.js' */
/** @import { Route } from '../router.js' */

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
        ${renderList(app, route, { found, nextCursor, onReplayed: polling.now })}
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
 * @param {() => void} state.onReplayed
 */
function renderList(app, route, { found, nextCursor, onReplayed }) {
  const status = statusOf(route);
  const cursor = route.params.get('cursor');
  if (found === null) return html`<p class="loading" aria-busy="true">Loading…</p>`;
  if (found.length === 0) return html`<p class="empty">${GROUPS.find(([name]) => name === status)?.[2]}</p>`;
  return html`
    ${webhookCalls(app, found, { linksMessage: true, onReplayed })}
    <nav class="pages" aria-label="Pages">
      ${cursor ? html`<a href=${linkTo(['webhooks'], { status })}>Newest</a>` : nothing}
      ${nextCursor ? html`<a href=${linkTo(['webhooks'], { status, cursor: nextCursor })}>Older</a>` : nothing}
    </nav>
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
