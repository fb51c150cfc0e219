import { ApiError } from '../api.js';
import { describeFailure } from '../app.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { files } from './files.js';

/** @import { App } from '../app.js' */

/**
 * What `GET /messages/{id}/content` returns.
 *
 * @typedef {object} Content
 * @property {string} subject
 * @property {{ name: string, value: string }[]} headers
 * @property {string | null} text
 * @property {string | null} html
 * @property {{ filename: string, size: number, content_type: string | null }[]} attachments
 */

/**
 * Shows the content of a message when the user asks for it. The html is shown in a frame, which
 * can run no script and reach no network. Frames carry no key, so its URL has a ticket.
 *
 * @param {App} app
 * @param {string} path Of the message: `messages/msg_1`.
 */
export function createContent(app, path) {
  /** @type {Content | null} */
  let content = null;
  /** @type {string | null} */
  let frameUrl = null;
  /** @type {string | null} */
  let problem = null;
  let isLoading = false;
  /** @type {'mail' | 'text' | 'source' | 'headers'} */
  let tab = 'mail';

  async function load() {
    isLoading = true;
    problem = null;
    app.update();
    try {
      content = await app.api.get(`${path}/content`);
      if (content?.html) {
        const ticket = await app.api.request('POST', `${path}/content/ticket`);
        frameUrl = ticket.data.url;
      } else tab = 'text';
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

  /** @param {typeof tab} name @param {string} label */
  const choice = (name, label) => html`
    <button
      type="button"
      aria-pressed=${tab === name}
      @click=${() => {
        tab = name;
        app.update();
      }}
    >
      ${label}
    </button>
  `;

  function renderLoaded() {
    if (content === null) return nothing;
    const { headers, text, html: source, attachments } = content;
    return html`
      <div class="tabs" role="group" aria-label="Content as">
        ${source ? choice('mail', 'Mail') : nothing} ${text ? choice('text', 'Text') : nothing}
        ${source ? choice('source', 'HTML source') : nothing} ${choice('headers', 'Headers')}
      </div>
      ${tab === 'mail' && frameUrl ? html`<iframe class="mail" title="The message as mail clients show it" sandbox src=${frameUrl}></iframe>` : nothing}
      ${tab === 'text' ? html`<pre tabindex="0" aria-label="Text">${text}</pre>` : nothing}
      ${tab === 'source' ? html`<pre tabindex="0" aria-label="HTML source">${source}</pre>` : nothing}
      ${
        tab === 'headers'
          ? html`<pre tabindex="0" aria-label="Headers">${headers.map(({ name, value }) => `${name}: ${value}\n`)}</pre>`
          : nothing
      }
      ${
        attachments.length === 0
          ? nothing
          : html`<p class="hint">
              Attachments: ${files(attachments)}
            </p>`
      }
    `;
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
            : renderLoaded()
        }
        <p class="hint" role="status">${problem ?? ''}</p>
      </section>
    `,
  };
}
