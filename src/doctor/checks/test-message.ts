import { DEADLINES } from '../../adapters/smtp/server-options.ts';
import { openTransport } from '../../adapters/smtp/transport.ts';
import type { AccountConfig } from '../../config/account-config.ts';
import type { SmtpServer } from '../../config/smtp-url.ts';
import type { Job } from '../../core/delivery/outcome.ts';
import { createId } from '../../core/id.ts';
import { domainOf } from '../../core/message/address.ts';
import { type CheckResult, pass } from '../check.ts';
import { diagnoseFault } from '../net/error-diagnosis.ts';

/** The deadlines of the service, with a shorter body limit, since a person is waiting. */
const TEST_DEADLINES = { ...DEADLINES, bodyMs: 60_000 };

export interface TestMessageOptions {
  readonly servers: readonly SmtpServer[];
  readonly ehloName: string;
  readonly ca: string | null;
  /** Version of Outtray to name in the message. */
  readonly version: string;
}

/**
 * Sends a real message through the transport that the service uses, and reports the server's reply.
 */
export async function sendTestMessage(
  { user, credentials, from }: AccountConfig,
  to: string,
  options: TestMessageOptions,
): Promise<CheckResult> {
  const { servers, ehloName, ca, version } = options;
  const transport = openTransport({ servers, user, credentials, ehloName, ca, deadlines: TEST_DEADLINES });
  try {
    const { fault, reply } = await transport.send(toJob(from, to, version));
    if (fault) return diagnoseFault(fault);
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
    `This message was sent by outtray doctor, version ${version}. If you can read it, sending works.`,
    `It was sent from ${from.email}. If From shows another address, Gmail has replaced it: add ${from.email} under "Send mail as".`,
  ].join('\n\n');
  return {
    id,
    messageId: `<${id}@${domainOf(from.email)}>`,
    date: Date.now(),
    envelope: {
      from,
      to: [{ email: to, name: null }],
      cc: [],
      bcc: [],
      subject: 'Outtray doctor: test message',
    },
    content: {
      replyTo: [],
      html: null,
      text,
      attachments: [],
      calendar: null,
      headers: {},
      inReplyTo: null,
      references: [],
      unsubscribe: null,
    },
    recipients: [to],
  };
}
