import { ApiError, createApi } from './api.js';
import { html, nothing, render } from './lit-html/lit-html.js';
import { createConfirmation } from './parts/confirmation.js';
import { connectionNotice } from './parts/connection.js';
import { createPoller } from './poll.js';
import { currentRoute, linkTo } from './router.js';
import { forgetKey, isDemo, isKeyOffered, readKey, saveKey, version } from './session.js';
import { createSignIn } from './sign-in.js';

/** @import { Api, Result } from './api.js' */
/** @import { Confirm } from './parts/confirmation.js' */
/** @import { Connection, Poller } from './poll.js' */
/** @import { Route } from './router.js' */

/**
 * The API key in use.
 *
 * @typedef {Result<'getKey'>} Key
 */

/**
 * What views get.
 *
 * @typedef {object} App
 * @property {Api} api
 * @property {Key} key
 * @property {boolean} demo Whether the service is `outtray demo`.
 * @property {(scope: Key['scopes'][number]) => boolean} can Whether the key has a scope, directly or as an admin.
 * @property {Poller['start']} poll Runs a function regularly until the screen closes.
 * @property {() => void} update Renders the page.
 * @property {(url: string) => void} go Goes to a place of {@link linkTo}.
 * @property {(url: string) => void} replace Changes the place without a new entry in the history.
 * @property {(text: string) => void} announce Shows a short text, and has screen readers read it.
 * @property {Confirm} confirm
 */

/**
 * @typedef {object} View
 * @property {string} name First part of its path: `messages` in `#/messages/msg_1`.
 * @property {string} title In the navigation.
 * @property {(app: App) => boolean} isAvailable Whether the key may see it.
 * @property {(app: App, route: Route) => Screen} open
 */

/**
 * @typedef {object} Screen
 * @property {string} title Of the document.
 * @property {() => unknown} render
 * @property {(route: Route) => boolean} [change] Goes to another place of the same view. False: the
 *   view is opened again.
 * @property {() => void} [close]
 */

/** How long an announcement is visible, in ms. */
const ANNOUNCED_MS = 8000;

/**
 * @param {HTMLElement} root
 * @param {readonly View[]} views
 */
export function createApp(root, views) {
  /** @type {ReturnType<typeof openSession> | null} */
  let session = null;
  const signIn = createSignIn({ onKey: enter, update });
  let isScheduled = false;

  function update() {
    if (isScheduled) return;
    isScheduled = true;
    queueMicrotask(() => {
      isScheduled = false;
      render(session === null ? signIn.render() : session.render(), root);
      document.title = session === null ? 'Outtray' : `${session.title()} - Outtray`;
    });
  }

  /**
   * @param {string} secret
   * @param {Key} key
   */
  function enter(secret, key) {
    saveKey(secret);
    session?.close();
    session = openSession({ secret, key, views, update, leave });
    session.follow(currentRoute());
    update();
  }

  /** @param {string | null} reason Null: the user signed out. */
  function leave(reason) {
    forgetKey();
    session?.close();
    session = null;
    signIn.ask(reason);
  }

  /** Signs in with the key of this tab, or asks for one. */
  function begin() {
    const secret = readKey();
    if (secret === null) signIn.ask(null);
    else signIn.use(secret, true);
  }

  function onHashChange() {
    if (isKeyOffered()) {
      session?.close();
      session = null;
      begin();
    } else session?.follow(currentRoute());
  }

  return {
    start() {
      root.replaceChildren();
      addEventListener('hashchange', onHashChange);
      begin();
    },
  };
}

/**
 * Opens the page for a key.
 *
 * @param {object} options
 * @param {string} options.secret
 * @param {Key} options.key
 * @param {readonly View[]} options.views
 * @param {() => void} options.update
 * @param {(reason: string | null) => void} options.leave
 */
function openSession({ secret, key, views, update, leave }) {
  const api = createApi(secret, () => leave('This key is no longer valid. Enter another one.'));
  /** @type {Connection} */
  let connection = { kind: 'ok' };
  const poller = createPoller({
    rateLimit: api.rateLimit,
    onChange(next) {
      if (connection.kind === 'ok' && next.kind === 'ok') return;
      connection = next;
      update();
    },
  });
  const confirmation = createConfirmation(update);
  let announced = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let silence;
  /** @type {View | undefined} */
  let view;
  /** @type {Screen | null} */
  let screen = null;
  /** @type {Set<{ stop: () => void }>} */
  let polls = new Set();

  /** @type {App} */
  const app = {
    api,
    key,
    demo: isDemo(),
    can: (scope) => key.scopes.includes(scope) || key.scopes.includes('admin'),
    poll(run, options) {
      const polling = poller.start(run, options);
      polls.add(polling);
      return polling;
    },
    update,
    go: (url) => location.assign(url),
    replace(url) {
      history.replaceState(null, '', url);
      follow(currentRoute());
    },
    announce(text) {
      announced = text;
      clearTimeout(silence);
      silence = setTimeout(() => {
        announced = '';
        update();
      }, ANNOUNCED_MS);
      update();
    },
    confirm: confirmation.ask,
  };
  const available = views.filter((candidate) => candidate.isAvailable(app));

  function closeScreen() {
    for (const polling of polls) polling.stop();
    polls = new Set();
    screen?.close?.();
    screen = null;
  }

  /** @param {Route} route */
  function follow(route) {
    const next = available.find(({ name }) => name === route.view) ?? available[0];
    if (next !== undefined && next === view && screen?.change?.(route)) return update();
    const isFirst = view === undefined;
    closeScreen();
    view = next;
    screen = next?.open(app, route) ?? null;
    update();
    queueMicrotask(() => {
      if (!isFirst) focusScreen();
      showCurrentView();
    });
  }

  return {
    follow,
    title: () => screen?.title ?? 'No access',
    close() {
      clearTimeout(silence);
      closeScreen();
    },
    render: () => html`
      <a class="skip" href="#screen" @click=${skip}>Skip to content</a>
      <header class="bar">
        <a class="brand" href=${linkTo([])}>Outtray</a>
        <nav aria-label="Views">
          ${available.map(
            ({ name, title }) => html`
              <a href=${linkTo([name])} aria-current=${view?.name === name ? 'page' : nothing}>${title}</a>
            `,
          )}
        </nav>
        <div class="session">
          <a href="docs">Docs</a>
          <span class="key" title="The API key in use">${key.name}${key.test ? ' (test)' : ''}</span>
          <button type="button" class="quiet" @click=${() => leave(null)}>Sign out</button>
        </div>
      </header>
      ${connectionNotice(connection, poller.retry)}
      <main id="screen" class="screen" tabindex="-1">${screen === null ? noAccess(key) : screen.render()}</main>
      <footer class="foot">Outtray ${version()}</footer>
      <p class="announcement" role="status">${announced}</p>
      ${confirmation.render()}
    `,
  };
}

/** @param {Key} key */
function noAccess(key) {
  return html`
    <h1>No access</h1>
    <p>
      The key <strong>${key.name}</strong> has only the scope ${key.scopes.join(' and ')}. To see this page,
      use a key with the scope <code>read</code> or <code>admin</code>.
    </p>
  `;
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault();
  focusScreen();
}

/** Moves the focus to the new screen, so that screen readers and the keyboard continue there. */
function focusScreen() {
  const target = document.querySelector('#screen');
  if (!(target instanceof HTMLElement)) return;
  target.focus({ preventScroll: true });
  scrollTo(0, 0);
}

/** Scrolls the navigation, which can be wider than the window, to the current view. */
function showCurrentView() {
  document.querySelector('.bar nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
}

/**
 * Returns what went wrong in an action of the user, in words.
 *
 * @param {unknown} error
 */
export function describeFailure(error) {
  if (error instanceof ApiError && error.problem.hint) return `${error.message} ${error.problem.hint}`;
  return error instanceof Error ? error.message : String(error);
}
