/** What comes into INBOX about a message that was accepted, by its recipient. */

import { domainOf } from './relay.ts';
import { toWire } from './replies.ts';
import type { ReportLanguage } from './report-texts.ts';
import {
  buildReply,
  buildReport,
  deliveryHeader,
  type MailSource,
  type OriginalMessage,
  type Report,
} from './reports.ts';
import { findScript } from './scripted-recipients.ts';

const ID = '2adb3069b0e04-530bba1100asm1393398e87.1';

/** A kind of mail that follows a message. */
export type FollowUp = keyof typeof REPORTS | 'reply' | 'auto-reply';

const OVER_QUOTA = {
  code: '4.2.2',
  reply: [
    "452-4.2.2 The recipient's inbox is out of storage space. Please direct the",
    '452-4.2.2 recipient to',
    `452 4.2.2  https://support.google.com/mail/?p=OverQuotaTemp ${ID} - gsmtp`,
  ].join('\r\n'),
};

const REPORTS = {
  'no-such-user': {
    action: 'failed',
    status: { code: '5.1.1', reply: toWire('noSuchUser', { id: ID, address: '', ip: '' }) },
  },
  'delayed-over-quota': { action: 'delayed', status: OVER_QUOTA },
  'failed-over-quota': { action: 'failed', status: OVER_QUOTA },
  blocked: {
    action: 'failed',
    status: {
      code: '5.7.1',
      reply: [
        '550-5.7.1 [192.0.2.1] Gmail has detected that this message is likely',
        '550-5.7.1 unsolicited mail. To reduce the amount of spam sent to Gmail, this',
        '550-5.7.1 message has been blocked. For more information, go to',
        `550 5.7.1  https://support.google.com/mail/?p=UnsolicitedMessageError ${ID} - gsmtp`,
      ].join('\r\n'),
    },
  },
  unauthenticated: {
    action: 'failed',
    status: {
      code: '5.7.26',
      reply: [
        '550-5.7.26 Your email has been blocked because the sender is unauthenticated.',
        '550-5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM.',
        '550-5.7.26 For instructions on setting up authentication, go to',
        `550 5.7.26  https://support.google.com/mail/answer/81126#authentication ${ID} - gsmtp`,
      ].join('\r\n'),
    },
  },
  policy: { action: 'failed', status: null },
} as const satisfies Record<string, Report>;

/** What the mails depend on. */
export interface FollowUpSettings {
  /** Language of the reports. */
  readonly language: ReportLanguage;
  /** Domain that signs by DKIM. Null: that of the account. */
  readonly signingDomain: string | null;
}

/** A mail for INBOX of the account that sent the message. */
export interface FollowUpMail {
  /** Time after the mail before it, or else after the acceptance of the message, in ms. */
  readonly delayMs: number;
  readonly build: (settings: FollowUpSettings) => MailSource;
}

/** Returns the mails that follow a message to this recipient in turn: a copy if it is the sender itself. */
export function followUpsOf(original: OriginalMessage): FollowUpMail[] {
  const { user, recipient } = original;
  if (withoutDetail(recipient) === withoutDetail(user)) return [{ delayMs: 0, build: toSelf(original) }];
  const script = findScript(recipient);
  if (script?.kind !== 'follow-up') return [];
  return script.mails.map((kind) => ({
    delayMs: script.ms,
    build: ({ language }) => {
      if (kind === 'reply' || kind === 'auto-reply') return buildReply(original, kind === 'auto-reply');
      return buildReport(original, REPORTS[kind], language);
    },
  }));
}

/** Returns the message as its own sender receives it. */
function toSelf({ user, source }: OriginalMessage): FollowUpMail['build'] {
  return ({ signingDomain }) => {
    const lines = deliveryHeader(user, user, signingDomain ?? domainOf(user));
    const header = lines.map((line) => `${line}\r\n`).join('');
    return typeof source === 'string' ? header + source : Buffer.concat([Buffer.from(header), source]);
  };
}

/** `me+test@example.com` is the mailbox of `me@example.com`. */
function withoutDetail(address: string): string {
  return address.toLowerCase().replace(/\+[^@]*@/, '@');
}
