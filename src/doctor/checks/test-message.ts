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

export interface TestMessage {
  readonly result: CheckResult;
  /** With angle brackets. */
  readonly messageId: string;
  /** When the attempt began, in epoch ms. */
  readonly since: number;
}

/**
 * Sends a real message through the transport that the service uses, and reports the server's reply.
 */
export async function sendTestMessage(
  { user, credentials, from }: AccountConfig,
  to: string,
  options: TestMessageOptions,
): Promise<TestMessage> {
  const { servers, ehloName, ca, version } = options;
  const transport = openTransport({ servers, user, credentials, ehloName, ca, deadlines: TEST_DEADLINES });
  try {
    const job = toJob(from, to, version);
    const { fault, reply } = await transport.send(job);
    const replyText = [reply?.code, reply?.enhanced, reply?.response].filter(Boolean).join(' ');
    const result = fault ? diagnoseFault(fault) : pass(`sent to ${to}: ${replyText}`);
    return { result, messageId: job.messageId, since: job.date };
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
