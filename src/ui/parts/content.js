import { ApiError } from '../api.js';
import { describeFailure } from '../app.js';
import { html } from '../lit-html/lit-html.js';
import { createMailBody } from './mail-body.js';

/** @import { Result } from '../api.js' */
/** @import { App } from '../app.js' */

/**
 * Shows the content of a message when the user asks for it. Frames carry no key, so the URL of the
 * frame has a ticket.
 *
 * @param {App} app
 * @param {string} path Of the message: `messages/msg_1`.
 */
export function createContent(app, path) {
  /** @type {Result<'getMessageContent'> | null} */
  let content = null;
  /** @type {string | null} */
  let frameUrl = null;
  /** @type {string | null} */
  let problem = null;
  let isLoading = false;
  const body = createMailBody(app.update);

  async function load() {
    isLoading = true;
    problem = null;
    app.update();
    try {
      content = await app.api.get(`${path}/content`);
      if (content?.html) {
        const ticket = await app.api.request('POST', `${path}/content/ticket`);
        frameUrl = ticket.data.url;
      }
    } catch (error) {
      content = null;
      const isGone = error instanceof ApiError && error.status === 410;
      problem = isGone
        ? `The content of this message is no longer stored. ${error.problem.hint}`
        : describeFailure(error);
    }
    isLoading = false;
    app.update();
  }

  return {
    render: () => html`
      <section aria-labelledby="content">
        <h2 id="content">Content</h2>
        ${
          content === null
            ? html`
                <p>
                  <button type="button" ?disabled=${isLoading} @click=${load}>
                    ${isLoading ? 'Loading…' : 'Show the content'}
                  </button>
                </p>
              `
            : body.render({ ...content, frameUrl })
        }
        <p class="hint" role="status">${problem ?? ''}</p>
      </section>
    `,
  };
}
