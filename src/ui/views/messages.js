import { ApiError } from '../api.js';
import { repeat } from '../lit-html/directives/repeat.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { localInput } from '../parts/format.js';
import { explainProblem, summarize } from '../parts/problem.js';
import { STATUSES, statusLabel } from '../parts/status.js';
import { timeOf } from '../parts/time.js';
import { linkTo } from '../router.js';
import { openMessage } from './message.js';

/** @import { Message } from '../../client/schema.ts' */
/** @import { App, Screen, View } from '../app.js' */
/** @import { Route } from '../router.js' */

const PAGE_SIZE = 25;
const EVERY_S = 4;
const FILTERS = ['to', 'status', 'bounced', 'tag', 'key', 'created_after', 'created_before'];
/** Choice of the filter by status that is a filter of its own. */
const BOUNCED = 'bounced';
const TIMES = ['created_after', 'created_before'];

/** Choices of the filter by status. */
const GROUPS = [
  ['', 'Any status'],
  ['scheduled,queued,sending,deferred', 'Waiting'],
  ['sent,partially_sent', 'Sent'],
  ['failed,uncertain,expired', 'Failed'],
  [BOUNCED, 'Bounced'],
  ...Object.entries(STATUSES).map(([status, { label }]) => [status, label]),
];

/** @type {View} */
export const messages = {
  name: 'messages',
  title: 'Messages',
  isAvailable: (app) => app.can('read'),
  open: (app, route) => {
    const [id] = route.rest;
    return id === undefined ? openList(app, route) : openMessage(app, id);
  },
};

/**
 * @param {App} app
 * @param {Route} start
 * @returns {Screen}
 */
function openList(app, start) {
  let route = start;
  /** @type {Message[] | null} */
  let found = null;
  /** @type {string | null} */
  let nextCursor = null;
  /** @type {ApiError | null} */
  let refusal = null;
  /** Whether the list is that of another place. */
  let isStale = false;

  const polling = app.poll(
    async (signal) => {
      const query = { ...filtersOf(route), limit: String(PAGE_SIZE) };
      try {
        const page = await app.api.get('messages', { query, signal });
        found = page.messages;
        nextCursor = page.next_cursor;
        refusal = null;
        isStale = false;
      } catch (error) {
        // Something in the filter, which the user can correct.
        if (!(error instanceof ApiError) || error.status !== 422) throw error;
        refusal = error;
        isStale = false;
      }
      app.update();
    },
    { everyS: EVERY_S },
  );

  return {
    title: 'Messages',
    change(next) {
      if (next.rest.length > 0) return false;
      route = next;
      isStale = true;
      polling.now();
      return true;
    },
    render: () => html`
      <div class="heading">
        <h1>Messages</h1>
        ${app.can('send') ? html`<a class="button" href=${linkTo(['send'])}>Send a test message</a>` : nothing}
      </div>
      ${renderFilters(app, route)} ${renderResult(app, route, { found, nextCursor, refusal, isStale })}
    `,
  };
}

/**
 * The query of a place in the list.
 *
 * @param {Route} route
 */
function filtersOf({ params }) {
  return Object.fromEntries([...FILTERS, 'cursor'].map((name) => [name, params.get(name)]));
}

/**
 * @param {App} app
 * @param {Route} route
 */
function renderFilters(app, { params }) {
  /** @param {string} name */
  const paramOf = (name) => params.get(name) ?? '';
  /** @param {Event} event */
  function apply(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (
      /** @type {HTMLElement} */ (event.currentTarget).closest('form')
    );
    const values = Object.fromEntries(
      [...new FormData(form)].map(([name, value]) => [name, String(value).trim()]),
    );
    for (const name of TIMES) if (values[name]) values[name] = new Date(values[name]).toISOString();
    if (values.status === BOUNCED) Object.assign(values, { status: '', bounced: 'true' });
    app.go(linkTo(['messages'], values));
  }
  const isFiltered = FILTERS.some((name) => paramOf(name) !== '');
  const chosen = paramOf('bounced') === 'true' ? BOUNCED : paramOf('status');
  const known = GROUPS.some(([value]) => value === chosen);
  return html`
    <form class="filters" role="search" aria-label="Messages" novalidate @submit=${apply}>
      <div>
        <div class="recipient">
          <label for="to">Recipient</label>
          <input id="to" name="to" type="email" autocomplete="off" placeholder="ada@example.com" .value=${paramOf('to')} />
        </div>
        <div>
          <label for="status">Status</label>
          <select id="status" name="status" @change=${apply}>
            ${GROUPS.map(
              ([value, label]) =>
                html`<option value=${value} .selected=${value === chosen}>${label}</option>`,
            )}
            ${known ? nothing : html`<option value=${chosen} .selected=${true}>${chosen}</option>`}
          </select>
        </div>
        <div>
          <label for="tag">Tag</label>
          <input id="tag" name="tag" autocomplete="off" placeholder="flow:welcome" .value=${paramOf('tag')} />
        </div>
        ${
          app.can('admin')
            ? html`
                <div>
                  <label for="of-key">Key</label>
                  <input id="of-key" name="key" autocomplete="off" placeholder="crm" .value=${paramOf('key')} />
                </div>
              `
            : nothing
        }
      </div>
      <div>
        <div class="time">
          <label for="after">Created from</label>
          <input id="after" name="created_after" type="datetime-local" .value=${localInput(paramOf('created_after'))} />
        </div>
        <div class="time">
          <label for="before">Created before</label>
          <input id="before" name="created_before" type="datetime-local" .value=${localInput(paramOf('created_before'))} />
        </div>
        <div class="actions">
          <button class="primary">Search</button>
          ${isFiltered ? html`<a href=${linkTo(['messages'])}>Clear</a>` : nothing}
        </div>
      </div>
    </form>
  `;
}

/**
 * @param {App} app
 * @param {Route} route
 * @param {object} state
 * @param {Message[] | null} state.found
 * @param {string | null} state.nextCursor
 * @param {ApiError | null} state.refusal
 * @param {boolean} state.isStale
 */
function renderResult(app, { params }, { found, nextCursor, refusal, isStale }) {
  if (refusal !== null) {
    return html`<div class="card" role="alert">${explainProblem(refusal.problem)}</div>`;
  }
  if (found === null) return html`<p class="loading" aria-busy="true">Loading…</p>`;
  const filters = Object.fromEntries(params);
  const { cursor, ...firstPage } = filters;
  const isFiltered = Object.keys(firstPage).length > 0;
  if (found.length === 0)
    return html`
      <div class="empty">
        <p>
          ${
            cursor
              ? 'No older messages.'
              : isFiltered
                ? 'No message matches. Finished messages are kept for the time that RETAIN sets.'
                : 'No messages yet. They appear here as soon as they are accepted.'
          }
        </p>
        ${cursor ? html`<p><a href=${linkTo(['messages'], firstPage)}>Newest messages</a></p>` : nothing}
      </div>
    `;
  return html`
    <ul class="messages" aria-busy=${isStale}>
      ${repeat(
        found,
        ({ id }) => id,
        (message) => html`<li>${renderRow(app, message)}</li>`,
      )}
    </ul>
    <nav class="pages" aria-label="Pages">
      ${cursor ? html`<a href=${linkTo(['messages'], firstPage)}>Newest</a>` : nothing}
      ${nextCursor ? html`<a href=${linkTo(['messages'], { ...filters, cursor: nextCursor })}>Older</a>` : nothing}
    </nav>
  `;
}

/**
 * @param {App} app
 * @param {Message} message
 */
function renderRow(app, message) {
  const { id, subject, recipients, tags, created_at: createdAt, error, key } = message;
  const [first] = recipients;
  const more = recipients.length - 1;
  return html`
    <a href=${linkTo(['messages', id])}>
      ${statusLabel(message)}
      <span class="subject">${subject || 'Without a subject'}</span>
      <span class="to">${first?.email ?? ''}${more > 0 ? ` and ${more} more` : ''}</span>
      <span class="note">
        ${error === null ? Object.entries(tags).map(([name, value]) => html`<span class="tag">${name}:${value}</span> `) : summarize(message)}
      </span>
      ${app.can('admin') ? html`<span class="of">${key}</span>` : nothing} ${timeOf(createdAt)}
    </a>
  `;
}
