import { describeFailure } from '../app.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { accountCard } from '../parts/account.js';
import { hourChart } from '../parts/chart.js';
import { count, duration, number } from '../parts/format.js';
import { STATUSES, WAITING } from '../parts/status.js';
import { linkTo } from '../router.js';

/** @import { Account, Message } from '../../client/schema.ts' */
/** @import { Result } from '../api.js' */
/** @import { App, View } from '../app.js' */

/** @typedef {Result<'getStats'>} Stats */

const EVERY_S = 5;

/** @type {View} */
export const overview = {
  name: 'overview',
  title: 'Overview',
  isAvailable: (app) => app.can('read'),
  open(app) {
    /** @type {Stats | null} */
    let stats = null;
    /** @type {Message | null} */
    let oldest = null;
    /** @type {Set<string>} */
    const trying = new Set();

    async function load(/** @type {AbortSignal} */ signal) {
      const query = { order: 'oldest', limit: '1' };
      const [nextStats, page] = await Promise.all([
        app.api.get('stats', { signal }),
        app.api.get('messages', { query, signal }),
      ]);
      stats = nextStats;
      oldest = page.messages[0] ?? null;
      app.update();
    }

    async function tryNow(/** @type {string} */ user) {
      trying.add(user);
      app.update();
      try {
        const path = `accounts/${encodeURIComponent(user)}/verify`;
        /** @type {Account} */
        const account = (await app.api.request('POST', path)).data;
        app.announce(
          account.status === 'ready' ? `The login of ${user} succeeded.` : `Still paused: ${account.detail}`,
        );
        if (stats) stats.accounts = stats.accounts.map((other) => (other.user === user ? account : other));
      } catch (error) {
        app.announce(describeFailure(error));
      }
      trying.delete(user);
      app.update();
    }

    app.poll(load, { everyS: EVERY_S, cost: 2 });
    return {
      title: 'Overview',
      render: () =>
        stats === null
          ? html`<h1>Overview</h1><p class="loading" aria-busy="true">Loading…</p>`
          : renderStats(app, stats, oldest, { trying, tryNow }),
    };
  },
};

/**
 * @param {App} app
 * @param {Stats} stats
 * @param {Message | null} oldest
 * @param {{ trying: ReadonlySet<string>, tryNow: (user: string) => void }} actions
 */
function renderStats(app, { queue, last_24h: day, accounts }, oldest, { trying, tryNow }) {
  /** @param {typeof WAITING[number]} status */
  const countOf = (status) => queue.by_status[status] ?? 0;
  const waiting = WAITING.reduce((sum, status) => sum + countOf(status), 0);
  return html`
    <section aria-labelledby="waiting">
      <h1 id="waiting">
        ${waiting === 0 ? 'Nothing waits' : `${count(waiting, 'message')} ${waiting === 1 ? 'waits' : 'wait'}`}
      </h1>
      ${app.can('admin') ? nothing : html`<p class="hint">Only the messages of the key ${app.key.name} count here.</p>`}
      ${describeOldest(waiting, queue.oldest_due_at, oldest)}
      <ul class="figures">
        ${WAITING.map(
          (status) => html`
            <li>
              <a href=${linkTo(['messages'], { status })} title=${STATUSES[status].meaning}>
                <strong>${number(countOf(status))}</strong> ${STATUSES[status].label.toLowerCase()}
              </a>
            </li>
          `,
        )}
      </ul>
    </section>
    <section aria-labelledby="day">
      <h2 id="day">Last 24 hours</h2>
      <ul class="figures">
        <li>
          <a href=${linkTo(['messages'], { status: 'sent,partially_sent' })}>
            <strong>${number(day.sent)}</strong> sent
          </a>
        </li>
        <li class=${day.failed > 0 ? 'bad' : ''}>
          <a href=${linkTo(['messages'], { status: 'failed,uncertain,expired' })}>
            <strong>${number(day.failed)}</strong> failed
          </a>
        </li>
      </ul>
      ${hourChart(day.by_hour)}
    </section>
    <section aria-labelledby="accounts">
      <h2 id="accounts">Accounts</h2>
      <div class="cards">
        ${accounts.map((account) =>
          accountCard(account, {
            tryNow: app.can('send') ? () => tryNow(account.user) : null,
            isTrying: trying.has(account.user),
          }),
        )}
      </div>
    </section>
  `;
}

/**
 * Describes since when the oldest message waits, and why.
 *
 * @param {number} waiting Number of messages that wait.
 * @param {string | null} dueAt
 * @param {Message | null} oldest
 */
function describeOldest(waiting, dueAt, oldest) {
  if (waiting === 0) return html`<p class="lead">Every accepted message has its outcome.</p>`;
  if (dueAt === null || oldest === null) return html`<p class="lead">Nothing is due yet.</p>`;
  const link = html`<a href=${linkTo(['messages', oldest.id])}>${oldest.subject || 'without a subject'}</a>`;
  const why = oldest.error?.title ?? STATUSES[oldest.status].meaning;
  return html`
    <p class="lead">
      The oldest has been due for ${duration(Date.now() - Date.parse(dueAt))}: ${link}.
      <span class="why">${why}${why.endsWith('.') ? nothing : '.'}</span>
    </p>
  `;
}
