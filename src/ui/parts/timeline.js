import { html, nothing } from '../lit-html/lit-html.js';
import { count, elapsed } from './format.js';
import { explain, replyOf } from './problem.js';
import { isWaiting, STATUSES } from './status.js';
import { preciseTimeOf, timeAndDistance, timeOf } from './time.js';

/** @import { Attempt, DeliveryError, FollowUp, Message } from '../../client/schema.ts' */

/**
 * Everything that happened to a message, oldest first.
 *
 * @param {Message} message
 * @param {string | null} explained Code of an error that is explained elsewhere. Attempts with it
 *   have only its title and the reply.
 */
export function renderTimeline(message, explained) {
  const { created_at: created, scheduled_at: scheduled, finished_at: finished, attempts, status } = message;
  const next = isWaiting(status) && status !== 'sending' ? (message.next_attempt_at ?? null) : null;
  return html`
    <ol class="timeline">
      <li class="calm">
        <p>${preciseTimeOf(created)} <strong>Accepted</strong>${message.key ? ` from the key ${message.key}` : ''}</p>
        ${scheduled ? html`<p class="hint">To be sent at ${timeOf(scheduled)}</p>` : nothing}
      </li>
      ${attempts.map((attempt) => renderAttempt(attempt, message.account, explained))}
      ${
        next
          ? html`<li class="wait"><p>${timeAndDistance(next)} <strong>Next attempt</strong></p></li>`
          : nothing
      }
      ${
        finished
          ? html`
              <li class=${STATUSES[status].tone}>
                <p>
                  ${preciseTimeOf(finished)} <strong>${STATUSES[status].label}</strong>
                  <span class="hint">
                    ${elapsed(Date.parse(finished) - Date.parse(created))} after it was accepted${attempts.length > 1 ? `, in ${count(attempts.length, 'attempt')}` : ''}
                  </span>
                </p>
              </li>
            `
          : nothing
      }
      ${message.follow_ups.map(renderFollowUp)}
    </ol>
  `;
}

/** Each kind of mail that follows a message. */
const FOLLOW_UPS = {
  bounced: ['bad', 'Bounced'],
  delayed: ['wait', 'Delayed by the receiving server'],
  replied: ['calm', 'Reply'],
  auto_replied: ['calm', 'Automatic reply'],
};

/** @param {FollowUp} followUp */
function renderFollowUp({ kind, at, from, recipients }) {
  const [tone, label] = FOLLOW_UPS[kind];
  return html`
    <li class=${tone}>
      <p>
        ${preciseTimeOf(at)} <strong>${label}</strong>
        ${from ? html`<span class="hint">from <bdi>${from}</bdi></span>` : nothing}
      </p>
      ${recipients.length === 0 ? nothing : html`<p class="hint">For ${recipients.join(', ')}</p>`}
    </li>
  `;
}

/**
 * @param {Attempt} attempt
 * @param {string} usual The account of the message. Another one is named.
 * @param {string | null} explained
 */
function renderAttempt(
  { number, started_at: started, ended_at: ended, account, smtp, error, confirmed_by: confirmedBy },
  usual,
  explained,
) {
  const tone = ended === null ? 'wait' : error === null || confirmedBy ? 'good' : 'bad';
  const took = ended === null ? 'running' : `took ${elapsed(Date.parse(ended) - Date.parse(started))}`;
  const through = account === usual ? '' : `, through ${account}`;
  return html`
    <li class=${tone}>
      <p>${preciseTimeOf(started)} <strong>Attempt ${number}</strong> <span class="hint">${took}${through}</span></p>
      ${error === null ? replyOf(smtp) : renderError({ ...error, smtp: error.smtp ?? smtp }, confirmedBy ? error.code : explained)}
      ${confirmedBy ? html`<p>Confirmed by Sent Mail: Gmail had accepted the message.</p>` : nothing}
    </li>
  `;
}

/**
 * @param {DeliveryError} error
 * @param {string | null} explained
 */
function renderError(error, explained) {
  return error.code === explained ? html`<p>${error.title}</p>${replyOf(error.smtp)}` : explain(error);
}
