import { repeat } from '../lit-html/directives/repeat.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { bytes, count } from './format.js';

/**
 * The content of a message.
 *
 * @typedef {object} MailBody
 * @property {string | null} text
 * @property {string | null} html
 * @property {readonly { name: string, value: string }[]} [headers]
 * @property {readonly { filename: string | null, size: number, content_type: string | null }[]} [attachments]
 * @property {string | null} [frameUrl] Where the html is served with a content security policy of its own.
 */

/** @typedef {'mail' | 'text' | 'source' | 'headers'} Form */

/**
 * Shows the content of a message in the form that the user chooses. Html is shown in a frame, which
 * can run no script and reach no network.
 *
 * @param {() => void} update
 */
export function createMailBody(update) {
  /** @type {Form | null} */
  let chosen = null;

  /** @param {Form} form */
  function choose(form) {
    chosen = form;
    update();
  }

  return {
    /** @param {MailBody} body */
    render({ text, html: source, headers = [], attachments = [], frameUrl = null }) {
      const forms = /** @type {const} */ ([
        ['mail', 'Mail', frameUrl],
        ['text', 'Text', text],
        ['source', 'HTML source', source],
        ['headers', 'Headers', headers.length > 0],
      ]).filter(([, , content]) => content);
      const [shown] = forms.find(([form]) => form === chosen) ?? forms[0] ?? [null];
      return html`
        <div class="tabs" role="group" aria-label="Content as">
          ${forms.map(
            ([form, label]) => html`
              <button type="button" aria-pressed=${form === shown} @click=${() => choose(form)}>${label}</button>
            `,
          )}
        </div>
        ${shown === null ? html`<p class="hint">The message has no content.</p>` : nothing}
        ${frameUrl === null ? nothing : renderFrame(frameUrl, shown === 'mail')}
        ${shown === 'text' ? html`<pre class="body plain" tabindex="0" role="region" aria-label="Text">${text}</pre>` : nothing}
        ${shown === 'source' ? html`<pre class="body" tabindex="0" role="region" aria-label="HTML source">${source}</pre>` : nothing}
        ${
          shown === 'headers'
            ? html`<pre class="body" tabindex="0" role="region" aria-label="Headers">${headers.map(({ name, value }) => `${name}: ${value}\n`)}</pre>`
            : nothing
        }
        ${attachments.length === 0 ? nothing : renderAttachments(attachments)}
      `;
    },
  };
}

/**
 * Each URL gets a frame of its own: a change of `src` would be a step in the history of the tab.
 * The frame stays while it is hidden: its URL may have expired when it is shown again.
 *
 * @param {string} url
 * @param {boolean} isShown
 */
function renderFrame(url, isShown) {
  return repeat(
    [url],
    (key) => key,
    () =>
      html`<iframe class="mail" ?hidden=${!isShown} title="The message as a mail client shows it" sandbox src=${url}></iframe>`,
  );
}

/** @param {NonNullable<MailBody['attachments']>} attachments */
function renderAttachments(attachments) {
  return html`
    <h3 class="attachments-title">${count(attachments.length, 'attachment')}</h3>
    <ul class="attachments">
      ${attachments.map(
        ({ filename, size, content_type: type }) => html`
          <li><strong>${filename ?? 'Without a name'}</strong> <span class="hint">${bytes(size)}${type ? `, ${type}` : ''}</span></li>
        `,
      )}
    </ul>
  `;
}
