import { decideInbound, type ReferredMessage } from '../../src/core/inbound/decide-inbound.ts';
import { OUR_ID, parseText } from './inbound-mail.ts';

export const AT = Date.parse('2026-01-02T03:04:05Z');
/** The message that `aReport` and `aReply` refer to. */
export const MESSAGE: ReferredMessage = {
  messageId: OUR_ID,
  recipients: ['Ada@example.com', 'bob@example.net'],
  senders: ['bot@acme.com'],
};

/** Decides about the text of a mail. Returns the decision itself if there is only one. */
export async function decide(text: string, message: ReferredMessage | null = MESSAGE) {
  const decided = decideInbound(await parseText(text), message, AT);
  return decided.kind === 'decided' && decided.decisions.length === 1 ? decided.decisions[0] : decided;
}

/** The body of a status part with these fields of recipients. */
export function statusOf(...fields: string[]): string {
  return `Reporting-MTA: dns; mx.example.com\n\n${fields.join('\n')}\n`;
}

export const ADA_FAILED = ['Final-Recipient: rfc822; ada@example.com', 'Action: failed'];
