import type { InboundDecision, ReportedRecipient } from '../../src/core/inbound/decision.ts';

let mails = 0;

/** A recipient that does not exist, with the patch of the test. */
export function aReported(patch: Partial<ReportedRecipient> = {}): ReportedRecipient {
  return {
    email: 'ada@example.com',
    class: 'hard',
    smtp: {
      code: 550,
      enhanced: '5.1.1',
      response: 'The email account that you tried to reach does not exist.',
    },
    diagnostic: null,
    reportingMta: 'googlemail.com',
    suppress: true,
    ...patch,
  };
}

/** A bounce of one recipient in a new mail, with the patch of the test. */
export function aBounce(patch: Partial<InboundDecision> = {}): InboundDecision {
  mails += 1;
  return {
    kind: 'bounced',
    at: Date.now(),
    from: 'mailer-daemon@googlemail.com',
    mailId: `<${mails}@mx.google.com>`,
    recipients: [aReported()],
    unverified: false,
    ...patch,
  };
}

/** A reply in a new mail, with the patch of the test. */
export function aReply(patch: Partial<InboundDecision> = {}): InboundDecision {
  return aBounce({ kind: 'replied', from: 'ada@example.com', recipients: [], ...patch });
}
