import { html, nothing } from '../lit-html/lit-html.js';

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {unknown} [text] A text or a template.
 * @property {string} action What the button that confirms says.
 * @property {boolean} [danger] Whether the action cannot be undone.
 */

/**
 * Asks the user before an action. Resolves with the fields of a form in `text` if the user
 * confirms, else with null.
 *
 * @typedef {(question: Question) => Promise<FormData | null>} Confirm
 */

/**
 * Creates the dialog that asks for confirmation.
 *
 * @param {() => void} update
 */
export function createConfirmation(update) {
  /** @type {{ question: Question, settle: (answer: FormData | null) => void } | null} */
  let open = null;

  /** @param {FormData | null} answer */
  function settle(answer) {
    const asked = open;
    open = null;
    // Gives the focus back to where it was.
    findDialog()?.close();
    asked?.settle(answer);
    update();
  }

  /** @param {SubmitEvent} event */
  function submit(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (form.reportValidity()) settle(new FormData(form));
  }

  return {
    /** @type {Confirm} */
    ask(question) {
      open?.settle(null);
      return new Promise((resolve) => {
        open = { question, settle: resolve };
        update();
        setTimeout(() => {
          const dialog = findDialog();
          if (dialog?.open === false) dialog.showModal();
        });
      });
    },
    render() {
      if (open === null) return nothing;
      const { title, text, action, danger } = open.question;
      return html`
        <dialog class="confirmation" aria-labelledby="confirmation-title" @close=${() => open && settle(null)}>
          <form novalidate @submit=${submit}>
            <h2 id="confirmation-title">${title}</h2>
            ${text ?? nothing}
            <div class="actions">
              <button type="button" @click=${() => settle(null)}>Back</button>
              <button class=${danger ? 'danger' : 'primary'}>${action}</button>
            </div>
          </form>
        </dialog>
      `;
    },
  };
}

function findDialog() {
  const dialog = document.querySelector('dialog.confirmation');
  return dialog instanceof HTMLDialogElement ? dialog : null;
}
