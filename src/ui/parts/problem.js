import { html, nothing } from '../lit-html/lit-html.js';

/** @import { Message, Problem, SmtpReply } from '../../client/schema.ts' */

/**
 * The reply of the mail server, as it was received.
 *
 * @param {SmtpReply | null} smtp
 */
export function replyOf(smtp) {
  if (smtp === null) return nothing;
  const code = smtp.enhanced === null ? smtp.code : `${smtp.code} ${smtp.enhanced}`;
  return html`<p class="reply"><span class="visually-hidden">Reply of the server: </span>${code} ${smtp.response}</p>`;
}

/**
 * Explains an error: what happened, the reply of the server, and how to fix it.
 *
 * @param {object} error
 * @param {string} error.code
 * @param {string | null} [error.title]
 * @param {string | null} error.detail
 * @param {string | null} error.hint
 * @param {SmtpReply | null} [error.smtp]
 */
export function explain({ code, title, detail, hint, smtp = null }) {
  return html`
    <div class="explanation">
      ${title ? html`<p><strong>${title}</strong></p>` : nothing}
      ${detail && detail !== title ? html`<p>${withoutReply(detail, smtp)}</p>` : nothing} ${replyOf(smtp)}
      ${hint ? html`<p><span class="term">How to fix it</span> ${inCode(hint)}</p>` : nothing}
      <p><a href=${`problems/${code}`}>About <code>${code}</code></a></p>
    </div>
  `;
}

/**
 * Explains why a request was refused: each invalid field, or the cause.
 *
 * @param {Partial<Problem>} problem
 */
export function explainProblem({ code = 'internal_error', title, detail, hint, errors = [] }) {
  if (errors.length === 0) {
    return explain({ code, title: title ?? null, detail: detail ?? null, hint: hint ?? null });
  }
  return html`
    <div class="explanation">
      <p><strong>${title}</strong></p>
      <ul>
        ${errors.map((error) => html`<li><code>${error.pointer.replace(/^(query:|\/)/, '')}</code>: ${inCode(error.detail)}</li>`)}
      </ul>
      <p><a href=${`problems/${code}`}>About <code>${code}</code></a></p>
    </div>
  `;
}

/**
 * Returns the detail of an error without the reply of the server, which is shown beside it.
 *
 * @param {string} detail
 * @param {SmtpReply | null} smtp
 */
function withoutReply(detail, smtp) {
  const at = smtp === null ? -1 : detail.indexOf(`: ${smtp.code} `);
  return at === -1 ? detail : `${detail.slice(0, at)}.`;
}

/**
 * Returns in a few words why a message waits or was not sent; empty if neither.
 *
 * @param {Message} message
 */
export function summarize({ status, error }) {
  if (error === null) return '';
  return status === 'partially_sent' ? error.detail : error.title;
}

/**
 * Shows what stands between backticks as code.
 *
 * @param {string} text
 */
function inCode(text) {
  return text.split('`').map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : part));
}
