import { html, nothing } from '../lit-html/lit-html.js';
import { count } from './format.js';
import { explain } from './problem.js';
import { quotaBar } from './quota.js';
import { timeAndDistance, timeOf } from './time.js';

/** @import { Account } from '../../client/schema.ts' */

/**
 * The state of a sending account, and how to fix it.
 *
 * @param {Account} account
 * @param {object} options
 * @param {(() => void) | null} options.tryNow Null: the key may not.
 * @param {boolean} options.isTrying
 */
export function accountCard(account, { tryNow, isTrying }) {
  const { user, status, code, detail, hint, smtp, since, until, quota, connections } = account;
  const isPaused = status === 'paused';
  return html`
    <article class="card account">
      <header>
        <h3>${user}</h3>
        <span class="status ${isPaused ? 'bad' : 'good'}">${isPaused ? 'Paused' : 'Ready'}</span>
      </header>
      ${
        isPaused
          ? html`
              <p>
                Mail for this account is accepted and waits${since ? html`, since ${timeOf(since)}` : nothing}.
                ${
                  until === null || Date.parse(until) <= Date.now()
                    ? 'The next message is sent as a probe.'
                    : html`Outtray tries again at ${timeAndDistance(until)}.`
                }
              </p>
              ${code === null ? nothing : explain({ code, detail, hint, smtp })}
            `
          : nothing
      }
      ${quotaBar('messages', quota.messages, quota.reserve)}
      ${quotaBar('recipients', quota.recipients, quota.reserve)}
      ${renderMailbox(account.mailbox)}
      <footer>
        <p class="hint">
          ${connections.busy} of ${count(connections.allowed, 'connection')} in
          use${connections.allowed < connections.max ? `; Gmail asked to slow down, so fewer than ${connections.max}` : ''}.
          ${quota.frees_at ? html`Quota frees from ${timeOf(quota.frees_at)}.` : nothing}
        </p>
        ${
          tryNow === null
            ? nothing
            : html`
                <button type="button" ?disabled=${isTrying} @click=${tryNow}>
                  ${isTrying ? 'Trying…' : isPaused ? 'Try now' : 'Test the login'}<span class="visually-hidden">
                    of ${user}</span
                  >
                </button>
              `
        }
      </footer>
    </article>
  `;
}

/**
 * The state of the mailbox. Null if nothing is read from it on purpose.
 *
 * @param {Account['mailbox']} mailbox
 */
function renderMailbox({ status, code }) {
  if (status === 'off' && code === null) return nothing;
  const isReachable = status === 'ready' && code === null;
  const label = isReachable
    ? 'can be read'
    : status === 'ready'
      ? 'cannot be reached for now'
      : 'cannot be read';
  const about = code === null ? nothing : html`: <a href=${`problems/${code}`}><code>${code}</code></a>`;
  return html`<p class="hint">Mailbox ${label}${about}. Sending does not depend on it.</p>`;
}
