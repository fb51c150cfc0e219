import { candidateOf, parseInbound } from '../../src/adapters/imap/inbound/parse-inbound.ts';
import type { InboundMail } from '../../src/core/inbound/inbound-mail.ts';

/** A Message-ID in the form of ours. */
export const OUR_ID = '<msg_0123456789abcdef0123456789abcdef@acme.com>';

export const DMARC_OF_GMAIL =
  'Authentication-Results: mx.google.com;\n' +
  '       dkim=pass header.i=@googlemail.com header.s=20230601 header.b=e3vuyqwS;\n' +
  '       spf=none (google.com: mail-sor-f69.google.com does not designate permitted sender hosts) smtp.helo=mail-sor-f69.google.com;\n' +
  '       dmarc=pass (p=QUARANTINE sp=QUARANTINE dis=NONE) header.from=googlemail.com\n';

export function parseText(text: string, { isCut = false } = {}): Promise<InboundMail> {
  return parseInbound(Buffer.from(text), isCut);
}

export function candidateOfText(text: string) {
  return candidateOf(Buffer.from(text.split(/\r?\n\r?\n/, 1)[0] ?? ''));
}

/** A report of Gmail as it writes them since 2016. `status` is the body of its status part. */
export function aReport({
  status = `Reporting-MTA: dns; googlemail.com
X-Original-Message-ID: ${OUR_ID}

Final-Recipient: rfc822; ada@example.com
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.com. (192.0.2.1, the server for the domain example.com.)
Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist. Please try
 550 5.1.1 double-checking the recipient's email address.
`,
  headers = '',
  authentication = DMARC_OF_GMAIL,
  from = 'Mail Delivery Subsystem <mailer-daemon@googlemail.com>',
  text = 'The message could not be delivered.',
  returned = `Message-ID: ${OUR_ID}\nFrom: bot@acme.com\nTo: ada@example.com\nSubject: Hello\n\nHello\n`,
}: {
  status?: string;
  headers?: string;
  authentication?: string;
  from?: string;
  text?: string;
  returned?: string | null;
} = {}): string {
  const returnedPart = returned === null ? '' : `\n--report\nContent-Type: message/rfc822\n\n${returned}`;
  return `Delivered-To: bot@acme.com
Return-Path: <>
${authentication}Content-Type: multipart/report; boundary="report"; report-type=delivery-status
From: ${from}
To: bot@acme.com
Auto-Submitted: auto-replied
Subject: Delivery Status Notification (Failure)
Message-ID: <63fc15e0.050a0220.58de0.183e.GMR@mx.google.com>
${headers}
--report
Content-Type: text/plain; charset="UTF-8"

${text}

--report
Content-Type: message/delivery-status

${status}${returnedPart}
--report--
`;
}

/** A mail of a person or of a program that replies. */
export function aReply(headers = ''): string {
  return `Return-Path: <ada@example.com>
From: Ada <ada@example.com>
To: bot@acme.com
Subject: Re: Hello
Message-ID: <reply@example.com>
In-Reply-To: ${OUR_ID}
${headers}
Thank you
`;
}
