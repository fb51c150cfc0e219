import { html } from '../lit-html/lit-html.js';

/** @import { View } from '../app.js' */

/** @type {View} */
export const overview = {
  name: 'overview',
  title: 'Overview',
  isAvailable: (app) => app.can('read'),
  open(app) {
    return { title: 'Overview', render: () => html`<h1>Overview</h1><p>Signed in as ${app.key.name}.</p>` };
  },
};
