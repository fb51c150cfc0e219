import { html } from '../lit-html/lit-html.js';

/** @import { Message } from '../../client/schema.ts' */

/** @typedef {Message['status']} Status */

/**
 * Each status in words. `tone` chooses the color.
 *
 * @type {Readonly<Record<Status, { tone: 'good' | 'wait' | 'bad' | 'calm', label: string, meaning: string }>>}
 */
export const STATUSES = {
  scheduled: { tone: 'calm', label: 'Scheduled', meaning: 'Waits for the time that the client set.' },
  queued: { tone: 'wait', label: 'Queued', meaning: 'Waits for a free connection of its account.' },
  sending: { tone: 'wait', label: 'Sending', meaning: 'An attempt is running.' },
  deferred: { tone: 'wait', label: 'Deferred', meaning: 'Waits, and is tried again automatically.' },
  sent: { tone: 'good', label: 'Sent', meaning: 'Gmail accepted the message for every recipient.' },
  partially_sent: {
    tone: 'bad',
    label: 'Partially sent',
    meaning: 'Gmail accepted the message for some recipients and refused the others.',
  },
  failed: {
    tone: 'bad',
    label: 'Failed',
    meaning: 'The message was not sent, and is not tried again automatically.',
  },
  uncertain: {
    tone: 'bad',
    label: 'Uncertain',
    meaning: 'No valid reply arrived: Gmail may or may not have accepted the message.',
  },
  canceled: { tone: 'calm', label: 'Canceled', meaning: 'A client canceled the message before it was sent.' },
  expired: {
    tone: 'bad',
    label: 'Expired',
    meaning: 'The message was not sent before the time that the client set.',
  },
};

/** The statuses of messages that wait, in the order of their way. */
export const WAITING = /** @type {const} */ (['scheduled', 'queued', 'sending', 'deferred']);

/** @param {Status} status */
export function isWaiting(status) {
  return WAITING.some((waiting) => waiting === status);
}

/** In place of the status of a sent message. Any other status asks for a decision, or explains itself. */
const BOUNCED = /** @type {const} */ ({
  tone: 'bad',
  label: 'Bounced',
  meaning: 'According to a report, at least one recipient did not get the message.',
});

/**
 * The label of a message, and what it means.
 *
 * @param {Pick<Message, 'status' | 'bounced'>} message
 */
export function stateOf({ status, bounced }) {
  const wasSent = status === 'sent' || status === 'partially_sent';
  return bounced && wasSent ? BOUNCED : STATUSES[status];
}

/** @param {Pick<Message, 'status' | 'bounced'>} message */
export function statusLabel(message) {
  const { tone, label, meaning } = stateOf(message);
  return html`<span class="status ${tone}" title=${meaning}>${label}</span>`;
}
