/**
 * The operators' page at `GET /`: a client of the public API and nothing else. The browser loads
 * these modules as they are; JSDoc types are checked by `npm run types`.
 *
 * To add a view:
 *
 * 1. Write `views/<name>.js`. It exports a {@link View}: its name in the fragment of the URL, its
 *    title in the navigation, the scope that a key needs to see it, and `open(app, route)`.
 * 2. `open` returns a {@link Screen}. `render` returns a template of lit-html and has no effects.
 *    State lives in the closure of `open`; call `app.update()` after changing it.
 * 3. Add the view to {@link VIEWS}. Put its styles into `styles/views.css`, colors and sizes into
 *    `styles/tokens.css`. Other files need no change: the server serves each file in this folder.
 *
 * Read data with `app.poll`, which stops with the screen, pauses while the tab is hidden and keeps
 * within RATE_LIMIT. Change something with `app.api`, after `app.confirm`, and report the result
 * with `app.announce`. Build fields, tables, times and states from `parts/`. Set no `style`
 * attribute and use no `unsafeHTML`: the content security policy forbids both.
 */
import { createApp } from './app.js';
import { doctor } from './views/doctor.js';
import { inbox } from './views/inbox.js';
import { messages } from './views/messages.js';
import { overview } from './views/overview.js';
import { send } from './views/send.js';
import { suppressions } from './views/suppressions.js';
import { templates } from './views/templates.js';
import { webhooks } from './views/webhooks.js';

/** The views in the order of the navigation. The first one that the key may see is the start. */
const VIEWS = [overview, messages, inbox, templates, suppressions, webhooks, send, doctor];

const root = document.querySelector('#page');
if (root instanceof HTMLElement) createApp(root, VIEWS).start();
