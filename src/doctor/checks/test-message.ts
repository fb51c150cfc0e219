import { DEADLINES } from '../../adapters/smtp/server-options.ts';
import { openTransport } from '../../adapters/smtp/transport.ts';
import type { AccountConfig } from '../../config/account-config.ts';
import type { SmtpServer } from '../../config/smtp-url.ts';
import type { Job } from '../../core/delivery/outcome.ts';
import { createId } from '../../core/id.ts';
import { type Finding, pass } from '../report.ts';
import { toTrouble } from '../wire/connection-errors.ts';

/** As the service has them, save that a person waits. */
const DEADLINES_HERE = { ...DEADLINES, bodyMs: 60_000 };

export interface DeliveryOptions {
  readonly servers: readonly SmtpServer[];
  readonly ehloName: string;
  readonly ca: string | null;
  /** Says which version wrote the message. */
  readonly version: string;
}

/** Sends a real message, through the very transport that the service uses, and tells what the server answered. */
export async function sendMessage(
  { user, credentials, from }: AccountConfig,
  to: string,
  options: DeliveryOptions,
): Promise<Finding> {
  const { servers, ehloName, ca, version } = options;
  const transport = openTransport({ servers, user, credentials, ehloName, ca, deadlines: DEADLINES_HERE });
  try {
    const { fault, reply } = await transport.send(toJob(from, to, version));
    if (fault) return toTrouble(fault);
    return pass(
      `sent to ${to}: ${[reply?.code, reply?.enhanced, reply?.response].filter(Boolean).join(' ')}`,
    );
  } finally {
    await transport.close();
  }
}

function toJob(from: AccountConfig['from'], to: string, version: string): Job {
  const id = createId('msg');
  const text = [
    `This message was sent by outtray doctor, version ${version}: mail goes out.`,
    `It was sent from ${from.email}. If another address stands in From, Gmail replaced it: add the first one under "Send mail as".`,
  ].join('\n\n');
  return {
    id,
    messageId: `<${id}@${from.email.slice(from.email.lastIndexOf('@') + 1)}>`,
    date: Date.now(),
    envelope: { from, to: [{ email: to, name: null }], cc: [], bcc: [], subject: 'Outtray doctor: a test' },
    content: {
      replyTo: [],
      html: null,
      text,
      attachments: [],
      headers: {},
      inReplyTo: null,
      references: [],
      unsubscribe: null,
    },
    recipients: [to],
  };
}
