import { ApiError } from '../api.js';
import { describeFailure } from '../app.js';
import { repeat } from '../lit-html/directives/repeat.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { replyOf } from '../parts/problem.js';
import { timeOf } from '../parts/time.js';
import { linkTo } from '../router.js';

/** @import { Suppression } from '../../client/schema.ts' */
/** @import { App, View } from '../app.js' */
/** @import { Route } from '../router.js' */

const PAGE_SIZE = 50;
const EVERY_S = 10;
const REASONS = { refused: 'Refused by Gmail', bounce: 'Bounced', manual: 'Added by a caller' };

/**
 * The addresses that no mail is sent to.
 *
 * @type {View}
 */
export const suppressions = {
  name: 'suppressions',
  title: 'Suppressions',
  isAvailable: (app) => app.can('read'),
  open(app, start) {
    let route = start;
    /** @type {Suppression[] | null} */
    let found = null;
    /** @type {string | null} */
    let nextCursor = null;
    /** @type {string | null} */
    let problem = null;

    const polling = app.poll(
      async (signal) => {
        const email = route.params.get('email');
        try {
          ({ suppressions: found, next_cursor: nextCursor } = await load(app, route, signal));
          problem = null;
        } catch (error) {
          // The address or the cursor, which the user can correct.
          if (!(error instanceof ApiError) || ![404, 422].includes(error.status)) throw error;
          found = [];
          nextCursor = null;
          problem = error.status === 404 ? `${email} is not suppressed.` : describeFailure(error);
        }
        app.update();
      },
      { everyS: EVERY_S },
    );

    /** @param {string} email */
    async function lift(email) {
      const answer = await app.confirm({
        title: 'Lift the suppression?',
        text: html`<p>Mail to <strong>${email}</strong> goes out again. If the address is refused or bounces again, it is suppressed again.</p>`,
        action: 'Lift',
      });
      if (answer === null) return;
      await change('DELETE', email, `Mail to ${email} goes out again.`);
    }

    /** @param {SubmitEvent} event */
    async function add(event) {
      event.preventDefault();
      const form = /** @type {HTMLFormElement} */ (event.target);
      const fields = new FormData(form);
      const email = String(fields.get('email')).trim();
      const note = String(fields.get('note')).trim();
      if (await change('PUT', email, `No more mail goes to ${email}.`, note === '' ? {} : { note }))
        form.reset();
    }

    /**
     * @param {'PUT' | 'DELETE'} method
     * @param {string} email
     * @param {string} done
     * @param {object} [body]
     */
    async function change(method, email, done, body) {
      try {
        await app.api.request(method, `suppressions/${encodeURIComponent(email)}`, { body });
        app.announce(done);
        polling.now();
        return true;
      } catch (error) {
        app.announce(describeFailure(error));
        return false;
      }
    }

    return {
      title: 'Suppressions',
      change(next) {
        route = next;
        found = null;
        problem = null;
        polling.now();
        return true;
      },
      render: () => html`
        <h1>Suppressions</h1>
        <p class="lead">Addresses that no mail is sent to, because Gmail refused them permanently, they bounced or a caller added them.</p>
        ${renderSearch(app, route)}
        ${renderResult(app, route, { found, nextCursor, problem, lift })}
        ${app.can('send') ? renderForm(add) : nothing}
      `,
    };
  },
};

/**
 * @param {App} app
 * @param {Route} route
 * @param {AbortSignal} signal
 */
async function load(app, { params }, signal) {
  const email = params.get('email');
  if (!email)
    return app.api.get('suppressions', {
      query: { limit: String(PAGE_SIZE), cursor: params.get('cursor') },
      signal,
    });
  const one = await app.api.get(`suppressions/${encodeURIComponent(email)}`, { signal });
  return { suppressions: [one], next_cursor: null };
}

/**
 * @param {App} app
 * @param {Route} route
 */
function renderSearch(app, { params }) {
  const email = params.get('email') ?? '';
  /** @param {SubmitEvent} event */
  function search(event) {
    event.preventDefault();
    const fields = new FormData(/** @type {HTMLFormElement} */ (event.target));
    app.go(linkTo(['suppressions'], { email: String(fields.get('email')).trim() }));
  }
  return html`
    <form class="search" role="search" aria-label="Suppressions" novalidate @submit=${search}>
      <label for="search-email">Find an address</label>
      <div class="row">
        <input id="search-email" name="email" type="email" autocomplete="off" placeholder="ada@example.com" .value=${email} />
        <button>Find</button>
      </div>
      ${email === '' ? nothing : html`<p><a href=${linkTo(['suppressions'])}>All addresses</a></p>`}
    </form>
  `;
}

/**
 * @param {App} app
 * @param {Route} route
 * @param {object} state
 * @param {Suppression[] | null} state.found
 * @param {string | null} state.nextCursor
 * @param {string | null} state.problem
 * @param {(email: string) => void} state.lift
 */
function renderResult(app, { params }, { found, nextCursor, problem, lift }) {
  if (problem !== null) return html`<p class="empty" role="status">${problem}</p>`;
  if (found === null) return html`<p class="loading" aria-busy="true">Loading…</p>`;
  if (found.length === 0)
    return html`<p class="empty">${params.get('cursor') ? 'No more addresses.' : 'No address is suppressed.'}</p>`;
  return html`
    <ul class="records">
      ${repeat(
        found,
        ({ email }) => email,
        (suppression) => html`<li>${renderRow(app, suppression, lift)}</li>`,
      )}
    </ul>
    <nav class="pages" aria-label="Pages">
      ${params.get('cursor') ? html`<a href=${linkTo(['suppressions'])}>First page</a>` : nothing}
      ${nextCursor ? html`<a href=${linkTo(['suppressions'], { cursor: nextCursor })}>Next page</a>` : nothing}
    </nav>
  `;
}

/**
 * @param {App} app
 * @param {Suppression} suppression
 * @param {(email: string) => void} lift
 */
function renderRow(app, { email, reason, accounts, smtp, message, note, created_at: createdAt }, lift) {
  return html`
    <div class="record">
      <p>
        <strong>${email}</strong>
        <span class="status ${reason === 'manual' ? 'calm' : 'bad'}">${REASONS[reason]}</span>
      </p>
      ${note === null ? nothing : html`<p>${note}</p>`} ${replyOf(smtp)}
      <p class="hint">
        Since ${timeOf(createdAt)}${accounts === null ? nothing : `, for ${accounts.join(', ')}`}${
          message === null ? nothing : html`, by <a href=${linkTo(['messages', message])}>this message</a>`
        }
      </p>
    </div>
    ${
      app.can('send')
        ? html`<button type="button" aria-label=${`Lift the suppression of ${email}`} @click=${() => lift(email)}>Lift</button>`
        : nothing
    }
  `;
}

/** @param {(event: SubmitEvent) => void} add */
function renderForm(add) {
  return html`
    <section aria-labelledby="add">
      <h2 id="add">Suppress an address</h2>
      <form class="add" @submit=${add}>
        <div>
          <label for="add-email">Address</label>
          <input id="add-email" name="email" type="email" required autocomplete="off" />
        </div>
        <div>
          <label for="add-note">Note (optional)</label>
          <input id="add-note" name="note" maxlength="500" autocomplete="off" />
        </div>
        <button class="primary">Suppress</button>
      </form>
    </section>
  `;
}
