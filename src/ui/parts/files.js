import { html } from '../lit-html/lit-html.js';
import { bytes } from './format.js';

/**
 * Names and sizes of attachments; null if there are none.
 *
 * @param {readonly { readonly filename: string, readonly size: number }[]} attachments
 */
export function files(attachments) {
  if (attachments.length === 0) return null;
  return attachments.map(
    ({ filename, size }) => html`<span class="item"><bdi>${filename}</bdi> (${bytes(size)})</span> `,
  );
}
