import { ApiError } from '../api.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { explainProblem } from '../parts/problem.js';
import { isWaiting, STATUSES, statusLabel } from '../parts/status.js';
import { renderTimeline } from '../parts/timeline.js';
import { linkTo } from '../router.js';

/** @import { Message } from '../../client/schema.ts' */
/** @import { View } from '../app.js' */

const EVERY_S = 1;
/** The mail of a key that cannot read is reported once, after at most this time. */
const WAIT_S = 30;

/** @type {View} */
export const send = {
  name: 'send',
  title: 'Send a test',
  isAvailable: (app) => app.can('send'),
  open(app) {
    /** @type {Message | null} */
    let message = null;
    /** @type {unknown} */
    let failure = null;
    let isSending = false;

    function follow() {
      const polling = app.poll(
        async (signal) => {
          if (message === null) return polling.stop();
          message = await app.api.get(`messages/${message.id}`, { signal });
          if (message && !isWaiting(message.status)) polling.stop();
          app.update();
        },
        { everyS: EVERY_S },
      );
    }

    /** @param {SubmitEvent} event */
    async function submit(event) {
      event.preventDefault();
      const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
      const body = Object.fromEntries([...form].map(([name, value]) => [name, String(value)]));
      message = null;
      failure = null;
      isSending = true;
      app.update();
      const canRead = app.can('read');
      try {
        const reply = await app.api.request('POST', 'send', {
          body: { ...body, tags: { flow: 'test-from-page' } },
          headers: { ...(!canRead && { prefer: `wait=${WAIT_S}` }), 'idempotency-key': crypto.randomUUID() },
          timeoutMs: (WAIT_S + 10) * 1000,
        });
        message = reply.data;
        if (canRead) follow();
      } catch (error) {
        failure = error;
      }
      isSending = false;
      app.update();
    }

    return {
      title: 'Send a test message',
      render: () => html`
        <h1>Send a test message</h1>
        <div class="columns">
          <form class="card fields" @submit=${submit}>
            <div>
              <label for="send-to">To</label>
              <input id="send-to" name="to" type="email" required autocomplete="email" />
            </div>
            <div>
              <label for="send-subject">Subject</label>
              <input id="send-subject" name="subject" required value="Test message from Outtray" />
            </div>
            <div>
              <label for="send-text">Text</label>
              <textarea id="send-text" name="text" required rows="5">
This message shows that Outtray can send email.</textarea
              >
            </div>
            <button class="primary" ?disabled=${isSending}>${isSending ? 'Sending…' : 'Send'}</button>
            <p class="hint">
              ${app.key.test ? 'This is a test key: the message goes to the built-in simulator.' : 'It counts towards the quota of the account.'}
            </p>
          </form>
          <section aria-labelledby="result" aria-live="polite">
            <h2 id="result">What happens to it</h2>
            ${renderResult(message, failure)}
          </section>
        </div>
      `,
    };
  },
};

/**
 * @param {Message | null} message
 * @param {unknown} failure
 */
function renderResult(message, failure) {
  if (failure instanceof ApiError) {
    return html`<p><span class="status bad">Not accepted</span></p>${explainProblem(failure.problem)}`;
  }
  if (failure instanceof Error) return html`<p>${failure.message}</p>`;
  if (message === null) return html`<p class="hint">Each step appears here as it happens.</p>`;
  return html`
    <p class="state">${statusLabel(message)} ${STATUSES[message.status].meaning}</p>
    ${renderTimeline(message, null)}
    ${message.id ? html`<p><a href=${linkTo(['messages', message.id])}>All about this message</a></p>` : nothing}
  `;
}
