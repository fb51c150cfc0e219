import { describeFailure } from '../app.js';
import { html, nothing } from '../lit-html/lit-html.js';
import { timeAndDistance } from '../parts/time.js';

/** @import { Result } from '../api.js' */
/** @import { View } from '../app.js' */

/** @typedef {Result<'getDoctorReport'>} Report */
/** @typedef {Report['checks'][number]} Check */

/** A report takes long if a server does not respond. */
const TIMEOUT_MS = 180_000;

/** The groups of the report, the most urgent one first. */
const GROUPS = /** @type {const} */ ([
  ['fail', 'Failed'],
  ['warn', 'Warnings'],
  ['pass', 'Passed'],
  ['skip', 'Skipped or unknown'],
]);

/**
 * The report of the doctor.
 *
 * @type {View}
 */
export const doctor = {
  name: 'doctor',
  title: 'Doctor',
  isAvailable: (app) => app.can('admin'),
  open(app) {
    /** @type {Report | null} */
    let report = null;
    let failure = '';
    let isChecking = false;

    async function check() {
      isChecking = true;
      failure = '';
      app.update();
      try {
        report = await app.api.get('doctor', { timeoutMs: TIMEOUT_MS });
      } catch (error) {
        failure = describeFailure(error);
      }
      isChecking = false;
      app.update();
    }

    void check();
    return {
      title: 'Doctor',
      render: () => html`
        <div class="heading">
          <h1>${report === null ? 'Doctor' : describeResult(report)}</h1>
          <button type="button" ?disabled=${isChecking} @click=${check}>Check again</button>
        </div>
        ${renderProgress(report, isChecking)}
        ${failure === '' ? nothing : html`<p role="alert">${failure}</p>`}
        ${GROUPS.map(([status, title]) => renderGroup(title, report?.checks.filter((each) => each.status === status) ?? []))}
      `,
    };
  },
};

/** @param {Report} report */
function describeResult({ ok, checks }) {
  if (!ok) return 'Mail cannot be sent with every account';
  return checks.some(({ status }) => status === 'warn')
    ? 'Mail can be sent, with warnings'
    : 'Mail can be sent';
}

/**
 * @param {Report | null} report
 * @param {boolean} isChecking
 */
function renderProgress(report, isChecking) {
  if (isChecking)
    return html`<p class=${report === null ? 'loading' : 'hint'} aria-busy="true">Checking…</p>`;
  if (report === null) return nothing;
  return html`<p class="hint">Checked ${timeAndDistance(report.made_at)}, at most once a minute.</p>`;
}

/**
 * @param {string} title
 * @param {Check[]} checks
 */
function renderGroup(title, checks) {
  if (checks.length === 0) return nothing;
  return html`
    <section>
      <h2>${title}</h2>
      <ul class="records">
        ${checks.map(
          ({ name, target, detail, advice }) => html`
            <li>
              <div class="record">
                <p><strong>${name}</strong> ${target === '' ? detail : `${target}: ${detail}`}</p>
                ${advice === null ? nothing : html`<p class="hint">${advice}</p>`}
              </div>
            </li>
          `,
        )}
      </ul>
    </section>
  `;
}
