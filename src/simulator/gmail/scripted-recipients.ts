/** Recipients whose local part selects a behavior of the simulator. */
import type { FollowUp } from './follow-ups.ts';
import type { ReplyName } from './replies.ts';

export const SCRIPTED_DOMAIN = 'simulator.test';

export type Script =
  /** `DATA`: instead of 354; `dot`: after the message. */
  | { readonly kind: 'refuse'; readonly stage: 'RCPT' | 'DATA' | 'dot'; readonly reply: ReplyName }
  /** Refused at RCPT once for each pair of sender and recipient, then accepted. */
  | { readonly kind: 'refuse-once'; readonly reply: ReplyName }
  /**
   * At most this number of recipients per transaction: `RCPT` refuses further ones, `DATA` the
   * whole message.
   */
  | {
      readonly kind: 'limit';
      readonly stage: 'RCPT' | 'DATA';
      readonly recipients: number;
      readonly reply: ReplyName;
    }
  /** `body`: at the first bytes of the message; `dot`: after its end, once for each Message-ID. */
  | { readonly kind: 'drop'; readonly stage: 'body' | 'dot' }
  | { readonly kind: 'wait'; readonly ms: number }
  /** Accepted. These mails come into INBOX of the sender, each `ms` after the one before. */
  | { readonly kind: 'follow-up'; readonly mails: readonly FollowUp[]; readonly ms: number }
  /** The message is stored, but the reply is not SMTP. */
  | { readonly kind: 'garble' };

interface ScriptedRecipient {
  readonly name: string;
  readonly summary: string;
  readonly script: Script;
}

export const SCRIPTED_RECIPIENTS: readonly ScriptedRecipient[] = [
  {
    name: 'no-such-user',
    summary: '550 5.1.1 at RCPT',
    script: { kind: 'refuse', stage: 'RCPT', reply: 'noSuchUser' },
  },
  {
    name: 'mailbox-full',
    summary: '552 5.2.2 at RCPT',
    script: { kind: 'refuse', stage: 'RCPT', reply: 'mailboxFull' },
  },
  {
    name: 'greylisted',
    summary: '450 4.2.1 at RCPT the first time, then accepted',
    script: { kind: 'refuse-once', reply: 'receivingTooFast' },
  },
  {
    name: 'throttled',
    summary: '421 4.7.0 at RCPT and a closed connection the first time, then accepted',
    script: { kind: 'refuse-once', reply: 'tryAgainLater' },
  },
  {
    name: 'few-recipients',
    summary: '452 4.5.3 at RCPT after the first 3 recipients; few-recipients+5 after the first 5',
    script: { kind: 'limit', stage: 'RCPT', recipients: 3, reply: 'tooManyRecipients' },
  },
  {
    name: 'separate-transaction',
    summary:
      '452 4.5.3 with another text after the first recipient; separate-transaction+5 after the first 5',
    script: { kind: 'limit', stage: 'RCPT', recipients: 1, reply: 'separateTransaction' },
  },
  {
    name: 'recipients-limit',
    summary: '550 5.5.3 at DATA for more than 2 recipients; recipients-limit+5 for more than 5',
    script: { kind: 'limit', stage: 'DATA', recipients: 2, reply: 'tooManyForSender' },
  },
  {
    name: 'daily-limit',
    summary: '550 5.4.5 at DATA',
    script: { kind: 'refuse', stage: 'DATA', reply: 'dailyLimit' },
  },
  {
    name: 'blocked-content',
    summary: '552 5.7.0 after the message',
    script: { kind: 'refuse', stage: 'dot', reply: 'blockedContent' },
  },
  {
    name: 'too-large',
    summary: '552 5.3.4 after the message',
    script: { kind: 'refuse', stage: 'dot', reply: 'messageTooLarge' },
  },
  {
    name: 'drop-in-body',
    summary: 'cuts the connection while the message arrives',
    script: { kind: 'drop', stage: 'body' },
  },
  {
    name: 'drop-after-dot',
    summary: 'stores the message and cuts the connection without a reply, once for each Message-ID',
    script: { kind: 'drop', stage: 'dot' },
  },
  {
    name: 'slow',
    summary: 'replies after 3 s; slow+250ms after 250 ms, slow+10s after 10 s',
    script: { kind: 'wait', ms: 3_000 },
  },
  {
    name: 'garbage-reply',
    summary: 'stores the message and replies with a line that is not SMTP',
    script: { kind: 'garble' },
  },
  {
    name: 'bounces-later',
    summary: 'accepted; a bounce with 5.1.1 comes into INBOX after 1 s; bounces-later+10s after 10 s',
    script: { kind: 'follow-up', mails: ['no-such-user'], ms: 1_000 },
  },
  {
    name: 'bounces-soft',
    summary: 'accepted; a report of a delay with 4.2.2 after 1 s, and the bounce after 2 s',
    script: { kind: 'follow-up', mails: ['delayed-over-quota', 'failed-over-quota'], ms: 1_000 },
  },
  {
    name: 'bounces-blocked',
    summary: 'accepted; a bounce with 5.7.1 after 1 s',
    script: { kind: 'follow-up', mails: ['blocked'], ms: 1_000 },
  },
  {
    name: 'bounces-unauthenticated',
    summary: 'accepted; a bounce with 5.7.26 after 1 s',
    script: { kind: 'follow-up', mails: ['unauthenticated'], ms: 1_000 },
  },
  {
    name: 'bounces-policy',
    summary: 'accepted; a bounce without a status, as of a misconfigured "Send mail as", after 1 s',
    script: { kind: 'follow-up', mails: ['policy'], ms: 1_000 },
  },
  {
    name: 'delayed',
    summary: 'accepted; a report of a delay with 4.2.2 after 1 s',
    script: { kind: 'follow-up', mails: ['delayed-over-quota'], ms: 1_000 },
  },
  {
    name: 'replies',
    summary: 'accepted; a reply after 1 s',
    script: { kind: 'follow-up', mails: ['reply'], ms: 1_000 },
  },
  {
    name: 'auto-replies',
    summary: 'accepted; an automatic reply after 1 s',
    script: { kind: 'follow-up', mails: ['auto-reply'], ms: 1_000 },
  },
];

const BY_NAME = new Map(SCRIPTED_RECIPIENTS.map(({ name, script }) => [name, script]));

/**
 * Parses an address at simulator.test: `slow+250ms@simulator.test` is `slow` with the detail
 * `250ms`. Null for other domains.
 */
export function parseScriptedAddress(
  address: string,
): { readonly name: string; readonly detail: string } | null {
  const [local = '', domain] = address.toLowerCase().split('@');
  if (domain !== SCRIPTED_DOMAIN) return null;
  const [name = '', ...details] = local.split('+');
  return { name, detail: details.join('+') };
}

/** Returns the script of a recipient; null if it has none. */
export function findScript(recipient: string): Script | null {
  const address = parseScriptedAddress(recipient);
  const script = address && BY_NAME.get(address.name);
  if (!script) return null;
  if (script.kind === 'wait' || script.kind === 'follow-up')
    return { ...script, ms: parseDelay(address.detail) ?? script.ms };
  if (script.kind === 'limit')
    return { ...script, recipients: parseCount(address.detail) ?? script.recipients };
  return script;
}

/** Parses a number from 1 to 999; null for any other text. */
export function parseCount(detail: string): number | null {
  return /^[1-9]\d{0,2}$/.test(detail) ? Number(detail) : null;
}

function parseDelay(detail: string): number | null {
  const [, amount, unit] = /^(\d{1,6})(ms|s)$/.exec(detail) ?? [];
  return amount ? Number(amount) * (unit === 's' ? 1000 : 1) : null;
}
