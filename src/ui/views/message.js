import { ApiError } from '../api.js';
import { describeFailure } from '../app.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { createContent } from '../parts/content.js';
import { files } from '../parts/files.js';
import { count, localInput } from '../parts/format.js';
import { createMessageCalls } from '../parts/message-calls.js';
import { explain, replyOf, summarize } from '../parts/problem.js';
import { isWaiting, STATUSES, stateOf, statusLabel } from '../parts/status.js';
import { timeAndDistance, timeOf } from '../parts/time.js';
import { renderTimeline } from '../parts/timeline.js';
import { linkTo } from '../router.js';

/** @import { Address, Bounce, Message, Recipient } from '../../client/schema.ts' */
/** @import { App, Screen } from '../app.js' */
/** @import { Question } from '../parts/confirmation.js' */

const EVERY_S = 2;
/** A settled message changes only if it is retried, or a mail follows it. */
const SETTLED_EVERY_S = 15;
/** The message and its webhook calls are polled apart: each counts the requests of both. */
const COST = 2;
/** How long a search of Sent Mail may take, in ms. The service responds after 20 s at the latest. */
const SEARCH_TIMEOUT_MS = 30_000;

/**
 * One message: its state in words, what can be done, what happened, and its content.
 *
 * @param {App} app
 * @param {string} id
 * @returns {Screen}
 */
export function openMessage(app, id) {
  const path = `messages/${encodeURIComponent(id)}`;
  /** @type {Message | null} */
  let message = null;
  /** @type {ApiError | null} */
  let missing = null;
  let isSearching = false;
  const content = createContent(app, path);
  const calls = createMessageCalls(app, id, COST);

  const polling = app.poll(
    async (signal) => {
      try {
        /** @type {Message} */
        const next = await app.api.get(path, { signal });
        const { label, meaning } = stateOf(next);
        if (message !== null && stateOf(message).label !== label) app.announce(`${label}: ${meaning}`);
        message = next;
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 404) throw error;
        missing = error;
        polling.stop();
      }
      app.update();
    },
    { everyS: () => (message === null || isWaiting(message.status) ? EVERY_S : SETTLED_EVERY_S), cost: COST },
  );

  /**
   * Asks, changes the message, and says what came of it.
   *
   * @param {Question} question
   * @param {(answer: FormData) => Promise<unknown>} change
   * @param {string} done
   */
  async function act(question, change, done) {
    const answer = await app.confirm(question);
    if (answer === null) return;
    try {
      await change(answer);
      app.announce(done);
    } catch (error) {
      app.announce(describeFailure(error));
    }
    polling.now();
  }

  const actions = {
    cancel: () =>
      act(
        {
          title: 'Cancel this message?',
          text: html`<p>It is not sent, and cannot be queued again.</p>`,
          action: 'Cancel the message',
          danger: true,
        },
        () => app.api.request('POST', `${path}/cancel`),
        'The message is canceled.',
      ),
    retry: () =>
      act(
        {
          title: 'Send this message again?',
          text:
            message?.status === 'uncertain'
              ? html`<p>
                  Gmail may already have accepted it. The recipients can then get a second copy with the same
                  Message-ID.
                </p>`
              : html`<p>It is queued with the same Message-ID.</p>`,
          action: 'Send again',
          danger: message?.status === 'uncertain',
        },
        () => app.api.request('POST', `${path}/retry`),
        'The message is queued again.',
      ),
    reschedule: () =>
      act(
        {
          title: 'Send at another time?',
          text: html`
            <label for="scheduled_at">Time, in the time zone of this browser</label>
            <input
              id="scheduled_at"
              name="scheduled_at"
              type="datetime-local"
              required
              .value=${localInput(message?.scheduled_at ?? '')}
            />
            <p class="hint">A time in the past means now.</p>
          `,
          action: 'Reschedule',
        },
        (answer) => {
          const time = new Date(String(answer.get('scheduled_at'))).toISOString();
          return app.api.request('PATCH', path, { body: { scheduled_at: time } });
        },
        'The message has a new time.',
      ),
    async search() {
      isSearching = true;
      app.update();
      try {
        const options = { timeoutMs: SEARCH_TIMEOUT_MS };
        const { status, data } = await app.api.request('POST', `${path}/reconcile`, options);
        if (status === 202) app.announce('The search of Sent Mail goes on.');
        // If it was found, its new status is announced.
        else if (!data.confirmed_by) app.announce('It is not in Sent Mail. A copy may still be filed later.');
      } catch (error) {
        app.announce(describeFailure(error));
      }
      isSearching = false;
      polling.now();
    },
  };

  return {
    get title() {
      return message?.subject || 'Message';
    },
    render() {
      const back = html`<p class="back"><a href=${linkTo(['messages'])}>Messages</a></p>`;
      if (missing !== null) return html`${back}${renderMissing(missing)}`;
      if (message === null) return html`${back}<p class="loading" aria-busy="true">Loading…</p>`;
      return html`${back}${renderMessage(app, message, { ...actions, isSearching })}${content.render()}${calls.render()}`;
    },
  };
}

/** @param {ApiError} error */
function renderMissing({ problem }) {
  return html`
    <h1>Message not found</h1>
    ${explain({ code: 'message_not_found', detail: null, hint: problem.hint ?? null })}
  `;
}

/**
 * @param {App} app
 * @param {Message} message
 * @param {Record<'cancel' | 'retry' | 'reschedule' | 'search', () => void> & { isSearching: boolean }} actions
 */
function renderMessage(app, message, actions) {
  const { status, subject, error, warnings, next_attempt_at: next, scheduled_at: scheduled } = message;
  const canChange = app.can('send');
  const canCancel = canChange && isWaiting(status) && status !== 'sending';
  const canRetry = canChange && ['failed', 'expired', 'uncertain'].includes(status);
  return html`
    <header class="message-head">
      <h1>${subject || 'Without a subject'}</h1>
      <p class="state">
        ${statusLabel(message)} ${STATUSES[status].meaning}
        ${message.bounced ? 'At least one recipient did not get it.' : nothing}
        ${status === 'scheduled' && scheduled ? html`It is sent at ${timeAndDistance(scheduled)}.` : nothing}
        ${status === 'deferred' && next ? html`The next attempt is at ${timeAndDistance(next)}.` : nothing}
      </p>
      ${
        canCancel || canRetry
          ? html`
              <div class="actions">
                ${status === 'uncertain' ? searchButton(actions) : nothing}
                ${canRetry ? html`<button type="button" class=${status === 'uncertain' ? '' : 'primary'} @click=${actions.retry}>Send again…</button>` : nothing}
                ${canCancel && status === 'scheduled' ? html`<button type="button" @click=${actions.reschedule}>Reschedule…</button>` : nothing}
                ${canCancel ? html`<button type="button" @click=${actions.cancel}>Cancel…</button>` : nothing}
              </div>
            `
          : nothing
      }
    </header>
    ${
      error === null
        ? nothing
        : html`
            <section class="card" aria-labelledby="why">
              <h2 id="why">${isWaiting(status) ? 'Why it waits' : 'What went wrong'}</h2>
              ${explain({ ...error, title: summarize(message), detail: status === 'partially_sent' ? null : error.detail })}
            </section>
          `
    }
    ${
      warnings.length === 0
        ? nothing
        : html`
            <section class="card" aria-labelledby="warnings">
              <h2 id="warnings">Changes that Outtray made</h2>
              <ul>
                ${warnings.map(({ detail }) => html`<li>${detail}</li>`)}
              </ul>
            </section>
          `
    }
    <div class="columns">
      <section aria-labelledby="timeline">
        <h2 id="timeline">What happened</h2>
        ${renderTimeline(message, error?.code ?? null)}
      </section>
      <section aria-labelledby="details">
        <h2 id="details">Details</h2>
        ${renderDetails(message)}
      </section>
    </div>
    ${renderRecipients(message)}
  `;
}

/** @param {{ search: () => void, isSearching: boolean }} actions */
function searchButton({ search, isSearching }) {
  return html`
    <button type="button" class="primary" ?disabled=${isSearching} @click=${search}>
      ${isSearching ? 'Looking in Sent Mail…' : 'Look in Sent Mail'}
    </button>
  `;
}

const RECIPIENT_STATES = {
  pending: ['wait', 'Pending'],
  accepted: ['good', 'Accepted'],
  rejected: ['bad', 'Refused'],
  suppressed: ['calm', 'Suppressed: not attempted'],
  bounced: ['bad', 'Bounced'],
};

/** @param {Message} message */
function renderRecipients({ recipients, to, cc }) {
  /** @param {Recipient} recipient */
  const roleOf = ({ email }) => (hasAddress(to, email) ? 'To' : hasAddress(cc, email) ? 'Cc' : 'Bcc');
  return html`
    <section aria-labelledby="recipients">
      <h2 id="recipients">${count(recipients.length, 'recipient')}</h2>
      <ul class="recipients">
        ${recipients.map((recipient) => {
          const [tone, label] = RECIPIENT_STATES[recipient.status];
          return html`
            <li>
              <span class="hint">${roleOf(recipient)}</span> <strong>${recipient.email}</strong>
              <span class="status ${tone}">${label}</span>
              ${recipient.bounce ? bounceOf(recipient.bounce) : replyOf(recipient.smtp)}
            </li>
          `;
        })}
      </ul>
    </section>
  `;
}

/** Each class of a bounce in words. */
const BOUNCE_CLASSES = {
  hard: 'The address does not exist.',
  soft: 'The mailbox or its server did not take it, such as a full mailbox.',
  blocked: 'The receiving server refuses mail of this sender.',
  policy: 'The receiving server refuses this message for a reason that you can fix.',
};

/** @param {Bounce} bounce */
function bounceOf({ class: bounceClass, smtp, diagnostic, reporting_mta: server, unverified }) {
  return html`
    <p>
      ${BOUNCE_CLASSES[bounceClass]}
      <span class="hint">
        Class <code>${bounceClass}</code>${server ? html`, reported by <bdi>${server}</bdi>` : nothing}${unverified ? ', not confirmed by Gmail' : ''}
      </span>
    </p>
    ${diagnostic ? html`<p class="reply"><span class="visually-hidden">Reason: </span>${diagnostic}</p>` : replyOf(smtp)}
  `;
}

/**
 * @param {readonly Address[]} list
 * @param {string} email
 */
function hasAddress(list, email) {
  return list.some((address) => address.email.toLowerCase() === email.toLowerCase());
}

/** @param {Message} message */
function renderDetails(message) {
  const { attachments, tags, metadata } = message;
  /** @type {[string, unknown][]} */
  const rows = [
    ['From', people([message.from])],
    ['To', people(message.to)],
    ['Cc', people(message.cc)],
    ['Bcc', people(message.bcc)],
    ['Reply to', people(message.reply_to)],
    ['Account', message.account],
    ['Key', message.key],
    ['Template', message.template],
    ['Priority', message.priority === 'normal' ? '' : message.priority],
    ['Scheduled for', message.scheduled_at && timeOf(message.scheduled_at)],
    ['Expires at', message.expires_at && timeOf(message.expires_at)],
    ['Attachments', files(attachments)],
    ['Tags', pairs(tags)],
    ['Metadata', pairs(metadata)],
    ['Id', html`<code>${message.id}</code>`],
    ['Message-ID', html`<code>${message.message_id}</code>`],
    [
      'Possible duplicate',
      message.possible_duplicate ? 'Yes: an attempt without a reply was followed by another.' : '',
    ],
    ['Test', message.test ? 'Yes: it goes to the built-in simulator, never to Gmail.' : ''],
    [
      'Stored in',
      message.durability === 'memory' ? 'memory: lost if the service restarts' : message.durability,
    ],
  ];
  return html`
    <dl class="details">
      ${rows
        .filter(([, value]) => value)
        .map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>
  `;
}

/**
 * Text of strangers stands in `bdi`, so that it cannot reorder what follows.
 *
 * @param {readonly Address[]} list
 */
function people(list) {
  if (list.length === 0) return null;
  return list.map(({ name, email }) => html`<bdi class="item">${name ? `${name} <${email}>` : email}</bdi> `);
}

/** @param {Record<string, string>} labels */
function pairs(labels) {
  const entries = Object.entries(labels);
  if (entries.length === 0) return null;
  return entries.map(([name, value]) => html`<span class="tag">${name}:${value}</span> `);
}
