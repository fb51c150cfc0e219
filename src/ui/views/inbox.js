import { repeat } from '../lit-html/directives/repeat.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { count } from '../parts/format.js';
import { createMailBody } from '../parts/mail-body.js';
import { timeOf } from '../parts/time.js';
import { linkTo } from '../router.js';

/** @import { App, View } from '../app.js' */

/**
 * A message that the demo's simulator received.
 *
 * @typedef {object} InboxMessage
 * @property {string} id
 * @property {string} received_at
 * @property {string} from
 * @property {string[]} to
 * @property {string} subject
 * @property {string | null} text
 * @property {string | null} html
 * @property {string | null} view_url
 * @property {{ name: string, value: string }[]} headers
 * @property {{ filename: string | null, size: number, content_type: string }[]} attachments
 */

const EVERY_S = 3;
/** Characters of the text that the list shows. */
const SNIPPET_LENGTH = 120;

/**
 * The demo's inbox: the mail that the simulator received, as a mail client shows it.
 *
 * @type {View}
 */
export const inbox = {
  name: 'inbox',
  title: 'Inbox',
  isAvailable: (app) => app.demo && app.can('read'),
  open(app, start) {
    /** @type {InboxMessage[] | null} */
    let messages = null;
    let chosen = start.rest[0];
    const body = createMailBody(app.update);

    app.poll(
      async (signal) => {
        messages = (await app.api.get('demo/inbox', { signal })).messages;
        app.update();
      },
      { everyS: EVERY_S },
    );

    return {
      title: 'Inbox',
      change({ rest }) {
        chosen = rest[0];
        // After the next rendering, so that screen readers and the keyboard continue there.
        setTimeout(() => focusOn(chosen === undefined ? '#screen' : '.reading h2'));
        return true;
      },
      render() {
        if (messages === null) return html`<h1>Inbox</h1><p class="loading" aria-busy="true">Loading…</p>`;
        const open = messages.find(({ id }) => id === chosen);
        return html`
          <h1>Inbox</h1>
          <p class="lead">
            What the built-in simulator received in place of Gmail. Nothing left this machine.
          </p>
          ${
            messages.length === 0
              ? renderEmpty(app)
              : html`
                  <div class="mailbox ${chosen === undefined ? 'listing' : 'opened'}">
                    ${renderList(messages, chosen)}
                    <article class="reading" aria-labelledby="mail">
                      ${open === undefined ? renderNone(chosen) : renderMessage(open, body)}
                    </article>
                  </div>
                `
          }
        `;
      },
    };
  },
};

/** @param {string} selector */
function focusOn(selector) {
  const target = document.querySelector(selector);
  if (target instanceof HTMLElement) target.focus({ preventScroll: true });
}

/** @param {App} app */
function renderEmpty(app) {
  return html`
    <div class="empty">
      <p>No mail yet. It appears here as soon as the simulator receives it.</p>
      ${app.can('send') ? html`<p><a class="button" href=${linkTo(['send'])}>Send a test message</a></p>` : nothing}
    </div>
  `;
}

/**
 * @param {InboxMessage[]} messages
 * @param {string | undefined} chosen
 */
function renderList(messages, chosen) {
  return html`
    <ul class="mails" aria-label="Received messages">
      ${repeat(
        messages,
        ({ id }) => id,
        ({ id, from, subject, received_at: receivedAt, text, html: source, attachments }) => html`
          <li>
            <a href=${linkTo(['inbox', id])} aria-current=${id === chosen ? 'true' : nothing}>
              <span class="from">${from}</span> ${timeOf(receivedAt)}
              <span class="subject">${subject || 'Without a subject'}</span>
              <span class="snippet">${describe(text, source, attachments)}</span>
            </a>
          </li>
        `,
      )}
    </ul>
  `;
}

/**
 * Returns the beginning of a message, after the number of its attachments.
 *
 * @param {string | null} text
 * @param {string | null} source
 * @param {InboxMessage['attachments']} attachments
 */
function describe(text, source, attachments) {
  const start = text?.replace(/\s+/g, ' ').trim().slice(0, SNIPPET_LENGTH);
  const files = attachments.length > 0 ? [count(attachments.length, 'attachment')] : [];
  return [...files, start || (source === null ? 'No content' : 'HTML')].join(' · ');
}

/** @param {string | undefined} chosen */
function renderNone(chosen) {
  return html`
    <h2 id="mail" class="hint" tabindex="-1">
      ${chosen === undefined ? 'Choose a message to read it.' : 'This message is no longer in the inbox, which keeps the newest 100.'}
    </h2>
    ${chosen === undefined ? nothing : html`<p><a href=${linkTo(['inbox'])}>All messages</a></p>`}
  `;
}

/**
 * @param {InboxMessage} message
 * @param {ReturnType<typeof createMailBody>} body
 */
function renderMessage(message, body) {
  const { from, to, subject, received_at: receivedAt, text, html: source, headers, attachments } = message;
  return html`
    <p class="back"><a href=${linkTo(['inbox'])}>All messages</a></p>
    <h2 id="mail" tabindex="-1">${subject || 'Without a subject'}</h2>
    <dl class="details">
      <div><dt>From</dt><dd>${from}</dd></div>
      <div><dt>To</dt><dd>${to.join(', ')}</dd></div>
      <div><dt>Received</dt><dd>${timeOf(receivedAt)}</dd></div>
    </dl>
    ${body.render({ text, html: source, headers, attachments, frameUrl: message.view_url })}
  `;
}
