import { ApiError, createApi } from './api.js';
import { html, nothing } from './lit-html/lit-html.js';
import { forgetKey, version } from './session.js';

/** @import { Key } from './app.js' */

/**
 * Creates the form that asks for an API key, and checks it.
 *
 * @param {object} options
 * @param {(secret: string, key: Key) => void} options.onKey Called with a valid key.
 * @param {() => void} options.update
 */
export function createSignIn({ onKey, update }) {
  /** @type {string | null} */
  let problem = null;
  let isChecking = false;
  /** The key of this tab, whose check failed only because the service was not reached. */
  let kept = '';
  /** Whether the user gave the key earlier, and waits for the page. */
  let isReturning = false;

  /**
   * @param {string} secret
   * @param {boolean} [returning]
   */
  async function use(secret, returning = false) {
    isChecking = true;
    isReturning = returning;
    problem = null;
    update();
    try {
      const key = await createApi(secret, () => {}).get('key');
      kept = '';
      onKey(secret, key);
    } catch (error) {
      const isRefused = error instanceof ApiError && error.status < 500 && error.status !== 429;
      if (isRefused) forgetKey();
      kept = isRefused ? '' : secret;
      problem = describe(error);
    }
    isChecking = false;
    update();
    if (problem !== null) focusField();
  }

  /** @param {SubmitEvent} event */
  function submit(event) {
    event.preventDefault();
    const secret = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get('key')).trim();
    if (/^[!-~]+$/.test(secret)) return use(secret);
    problem = secret === '' ? 'Enter an API key.' : 'An API key consists of visible ASCII characters.';
    update();
    focusField();
  }

  return {
    use,
    /** @param {string | null} reason Why a key is needed again. */
    ask(reason) {
      kept = '';
      problem = reason;
      update();
      focusField();
    },
    render: () => html`
      <main class="entry">
        <h1>Outtray <small>${version()}</small></h1>
        ${isChecking && isReturning ? html`<p class="hint" aria-busy="true">Loading…</p>` : renderForm()}
      </main>
    `,
  };

  function renderForm() {
    return html`
      <p>Sends email through Gmail and reports what happened to every message.</p>
      <form class="sign-in" novalidate @submit=${submit}>
        <label for="key">API key</label>
        <div class="row">
          <input
            id="key"
            name="key"
            type="password"
            autocomplete="off"
            autocapitalize="none"
            spellcheck="false"
            .value=${kept}
            aria-invalid=${problem === null ? nothing : 'true'}
            aria-describedby="key-help key-problem"
          />
          <button class="primary" ?disabled=${isChecking}>${isChecking ? 'Checking…' : 'Sign in'}</button>
        </div>
        <p id="key-problem" class="problem" role="alert">${problem ?? ''}</p>
        <p id="key-help" class="hint">
          The secret of a key in <code>API_KEYS</code>. It stays in this tab until you sign out or close it.
          The scopes of the key decide what you see.
        </p>
      </form>
      <ul class="links">
        <li><a href="docs">API documentation</a></li>
        <li><a href="problems">Error codes</a></li>
      </ul>
    `;
  }
}

/** @param {unknown} error */
function describe(error) {
  if (!(error instanceof ApiError)) return error instanceof Error ? error.message : String(error);
  if (error.status === 401)
    return 'The service does not know this key. Enter the secret exactly as it is in API_KEYS.';
  if (error.status === 429) return `Too many attempts. Try again in ${error.retryAfter ?? 60} seconds.`;
  return error.message;
}

/** After the rendering that `update` has just queued, and before anything else can happen. */
function focusField() {
  queueMicrotask(() => {
    const field = document.querySelector('#key');
    if (field instanceof HTMLInputElement) field.select();
  });
}
