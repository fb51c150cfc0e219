import { ApiError } from '../api.js';
import { repeat } from '../lit-html/directives/repeat.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { createMailBody } from '../parts/mail-body.js';
import { explainProblem } from '../parts/problem.js';
import { linkTo } from '../router.js';

/** @import { Result } from '../api.js' */
/** @import { View } from '../app.js' */

/** @typedef {Result<'listTemplates'>['templates'][number]} Template */
/** @typedef {Result<'previewTemplate'>} Rendered */

const EVERY_S = 15;

/**
 * The templates of the service, and how each is rendered with variables.
 *
 * @type {View}
 */
export const templates = {
  name: 'templates',
  title: 'Templates',
  isAvailable: (app) => app.can('read'),
  open(app, start) {
    let chosen = start.rest[0];
    /** @type {Template[] | null} */
    let found = null;
    /** @type {Rendered | null} */
    let rendered = null;
    /** @type {ApiError | string | null} */
    let problem = null;
    const body = createMailBody(app.update);

    app.poll(
      async (signal) => {
        found = (await app.api.get('templates', { signal })).templates;
        app.update();
      },
      { everyS: EVERY_S },
    );

    /** @param {SubmitEvent} event */
    async function preview(event) {
      event.preventDefault();
      const fields = new FormData(/** @type {HTMLFormElement} */ (event.target));
      rendered = null;
      problem = null;
      try {
        const variables = parseVariables(String(fields.get('variables')));
        const path = `templates/${encodeURIComponent(chosen ?? '')}/preview`;
        rendered = (await app.api.request('POST', path, { body: { variables } })).data;
      } catch (error) {
        problem = error instanceof ApiError ? error : String(/** @type {Error} */ (error).message);
      }
      app.update();
      // Below the form in a narrow window.
      setTimeout(() => document.querySelector('#preview-title')?.scrollIntoView({ block: 'nearest' }));
    }

    return {
      title: 'Templates',
      change({ rest }) {
        chosen = rest[0];
        rendered = null;
        problem = null;
        app.update();
        return true;
      },
      render() {
        if (found === null) return html`<h1>Templates</h1><p class="loading" aria-busy="true">Loading…</p>`;
        const open = found.find(({ id }) => id === chosen) ?? (chosen === undefined ? found[0] : undefined);
        chosen = open?.id ?? chosen;
        return html`
          <h1>Templates</h1>
          <p class="lead">They come from TEMPLATES_DIR. A message uses one by its id.</p>
          ${
            found.length === 0
              ? html`<p class="empty">There are no templates. The operator sets TEMPLATES_DIR to a folder with them.</p>`
              : html`
                  <div class="tabs" role="group" aria-label="Template">
                    ${found.map(
                      ({ id }) => html`
                        <a class="button" href=${linkTo(['templates', id])} aria-current=${id === chosen ? 'true' : nothing}>${id}</a>
                      `,
                    )}
                  </div>
                  ${
                    open === undefined
                      ? html`<p class="empty">There is no template ${chosen}.</p>`
                      : repeat(
                          [open],
                          ({ id }) => id,
                          (template) => renderTemplate(template, { rendered, problem, preview, body }),
                        )
                  }
                `
          }
        `;
      },
    };
  },
};

/**
 * @param {string} text
 * @throws {Error} If it is not a JSON object.
 */
function parseVariables(text) {
  let value;
  try {
    value = JSON.parse(text.trim() === '' ? '{}' : text);
  } catch (error) {
    throw new Error(`The variables are not valid JSON. ${/** @type {Error} */ (error).message}`);
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new Error('The variables must be a JSON object.');
  return value;
}

/**
 * Returns an object with a value for each variable, as JSON to edit.
 *
 * @param {Template['variables']} variables
 */
function exampleOf(variables) {
  /** @type {any} */
  const example = {};
  for (const { name } of variables) {
    const path = name.split('.');
    let target = example;
    for (const part of path.slice(0, -1)) {
      if (typeof target[part] !== 'object') target[part] = {};
      target = target[part];
    }
    const last = path.at(-1) ?? '';
    if (!(last in target)) target[last] = last;
  }
  return JSON.stringify(example, null, 2);
}

/**
 * @param {Template} template
 * @param {object} state
 * @param {Rendered | null} state.rendered
 * @param {ApiError | string | null} state.problem
 * @param {(event: SubmitEvent) => void} state.preview
 * @param {ReturnType<typeof createMailBody>} state.body
 */
function renderTemplate({ subject, variables }, { rendered, problem, preview, body }) {
  return html`
    <div class="columns">
      <section aria-labelledby="variables-title">
        <h2 id="variables-title">Variables</h2>
        ${
          variables.length === 0
            ? html`<p class="hint">This template has no variables.</p>`
            : html`
                <ul class="variables">
                  ${variables.map(
                    ({ name, required }) =>
                      html`<li><code>${name}</code> <span class="hint">${required ? 'required' : 'optional'}</span></li>`,
                  )}
                </ul>
              `
        }
        <form class="fields" @submit=${preview}>
          <div>
            <label for="variables">Values, as JSON</label>
            <textarea id="variables" name="variables" class="mono" rows="12" spellcheck="false" .defaultValue=${exampleOf(variables)}></textarea>
          </div>
          <button class="primary">Preview</button>
        </form>
      </section>
      <section aria-labelledby="preview-title" aria-live="polite">
        <h2 id="preview-title">Preview</h2>
        ${
          typeof problem === 'string'
            ? html`<p class="problem">${problem}</p>`
            : problem !== null
              ? explainProblem(problem.problem)
              : rendered === null
                ? html`<p class="hint">Nothing is sent.${subject ? nothing : ' The template has no subject: the request sets it.'}</p>`
                : html`
                    <dl class="details"><div><dt>Subject</dt><dd>${rendered.subject ?? 'Set by the request'}</dd></div></dl>
                    ${body.render({ ...rendered, frameUrl: rendered.view_url })}
                    ${
                      rendered.html !== null && rendered.view_url === null
                        ? html`<p class="hint">To see it as a mail client shows it, use at most 4 kB of values.</p>`
                        : nothing
                    }
                  `
        }
      </section>
    </div>
  `;
}
