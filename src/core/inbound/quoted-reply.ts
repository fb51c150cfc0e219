import type { SmtpReply } from '../delivery/delivery.ts';
import { parseReply } from '../delivery/smtp-reply.ts';

/** What a text of a report quotes of the server that refused a message. */
export interface QuotedReply {
  readonly smtp: SmtpReply | null;
  /** Enhanced code (RFC 3463) of the reply, also in a form that SMTP does not have. */
  readonly status: string | null;
}

/** `550 5.1.1`, with the same class in both codes. */
const REPLY = /(?<![\w.])([45])\d\d[ -]#?\1\.\d{1,3}\.\d{1,3}(?![\d.])/;
/** A reply without an enhanced code, as Exim, Postfix, qmail and Sendmail introduce it. */
const PLAIN_REPLY = /[45]\d\d(?<=[:<]\s{1,20}\d{3})(?=[ -]\S)/;
/** Without the code of SMTP, or with an odd character: `5.1.1 Unknown`, `550 [5.1.1] Unknown`. */
const STATUS_AT_START = /^(?:[45]\d\d[ -])?[^\w.]*([45]\.\d{1,3}\.\d{1,3})(?![\d.])/;
/** `(#5.1.1)` at the end of the replies of qmail, and `<mx.example.com #5.1.1>` of Exchange. */
const MARKED_STATUS = /[(< ]#([45]\.\d{1,3}\.\d{1,3})(?![\d.])/;
/** A reply has few lines. */
const MAX_REPLY_LENGTH = 2000;

/** Finds the reply that a text starts with, or else the first that it contains. */
export function findReply(text: string): QuotedReply {
  const first = toReply(text, 0);
  const smtp = first?.enhanced ? first : (replyAt(text, REPLY) ?? first ?? replyAt(text, PLAIN_REPLY));
  const status =
    smtp?.enhanced ?? STATUS_AT_START.exec(smtp === null ? text : `${smtp.code} ${smtp.response}`)?.[1];
  return { smtp, status: status ?? MARKED_STATUS.exec(text)?.[1] ?? null };
}

function replyAt(text: string, pattern: RegExp): SmtpReply | null {
  const index = pattern.exec(text)?.index;
  return index === undefined ? null : toReply(text, index);
}

/** Returns the reply from a position to the next blank line. */
function toReply(text: string, index: number): SmtpReply | null {
  const lines = text.slice(index, index + MAX_REPLY_LENGTH).split(/\r\n|\r|\n/);
  const end = lines.findIndex((line) => line.trim() === '');
  const reply = parseReply((end === -1 ? lines : lines.slice(0, end)).map((line) => line.trim()).join('\n'));
  return reply.code === 0 ? null : reply;
}
