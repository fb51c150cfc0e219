import type { SmtpReply } from '../../../core/delivery/delivery.ts';
import type { Fault } from '../../../core/delivery/outcome.ts';
import { ERRORS } from '../../../core/errors.ts';
import { BY_ENHANCED, type Meaning, REPLIES } from './gmail-replies.ts';
import { type Failure, interpret, type Progress, readFailure } from './nodemailer-errors.ts';

/** What a reply answers: the greeting or EHLO, STARTTLS, AUTH with a password or with a token, MAIL, RCPT, DATA, or the message itself. */
export type Stage = 'session' | 'starttls' | 'auth' | 'oauth' | 'mail' | 'rcpt' | 'data' | 'message';

const REFUSED: Readonly<Record<Stage, string>> = {
  session: 'The server refused the session',
  starttls: 'The server refused to encrypt',
  auth: 'The server refused the login',
  oauth: 'The server refused the access token',
  mail: 'The server refused the sender',
  rcpt: 'The server refused the recipient',
  data: 'The server refused to take the message',
  message: 'The server refused the message',
};

const MAX_DETAIL = 400;

/**
 * What a failed attempt means: whose fault, whether and when to try again, and whether the server may have taken the message all the same.
 * Total: whatever was thrown gets a Fault, with texts that hold no secret, certificate or stack.
 *
 * @param error what nodemailer rejected with, or one of its `rejectedErrors`
 */
export function classify(error: unknown, progress: Progress): Fault {
  const failure = readFailure(error);
  const { reply, refusals } = failure;
  if (refusals.length > 0) return decisive(refusals.map((refusal) => classify(refusal, progress)));
  if (reply.code >= 400) return classifyReply(reply, stageOf(failure, progress));
  const { meaning, detail } = interpret(failure, progress);
  const fault = toFault(failure.duringLogin ? asLogin(meaning) : meaning, detail, null);
  // The dot is out and no refusal was read: the message may have been taken.
  return progress.bodyEnded
    ? { ...fault, certain: false, error: { ...fault.error, hint: ERRORS.delivery_uncertain.hint } }
    : fault;
}

/** What a 4yz or 5yz reply means at that point of the session. Always certain: the server said no. */
export function classifyReply(reply: SmtpReply, stage: Stage): Fault {
  const meaning = seenFrom(stage, reply, findRow(reply) ?? unknown(reply, stage));
  // What a person must mend passes, but not by itself.
  const passes = meaning.retryable && (meaning.scope !== 'account' || reply.code < 500);
  return toFault(meaning, `${REFUSED[stage]}${passes ? ' for now' : ''}: ${quote(reply)}`, reply);
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** Each probe may count as a login, and Gmail turns away who logs in too often. */
const LOGIN_LOST = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE];

/** A login that breaks would break for each message that waits: it pauses the account. */
function asLogin(meaning: Meaning): Meaning {
  return meaning.scope === 'connection' ? { ...meaning, scope: 'account', backoffMs: LOGIN_LOST } : meaning;
}

const PAUSE = { scope: 'account', retryable: true, backoffMs: null } as const;
const RECONNECT = { scope: 'connection', retryable: true, backoffMs: null } as const;
const REFUSE = { scope: 'message', retryable: false, backoffMs: null } as const;

function findRow({ code, enhanced, response }: SmtpReply): Meaning | undefined {
  const text = response.replace(/\s+/g, ' ');
  return REPLIES.find(
    (row) =>
      row.codes.includes(code) &&
      (row.enhanced === null || row.enhanced === enhanced) &&
      row.match.test(text),
  );
}

/** RFC 5321, 4.2.1: the first digit says whether to try again. The enhanced code and the stage say of what the reply speaks. */
function unknown({ code, enhanced, response }: SmtpReply, stage: Stage): Meaning {
  if (code === 421) return { error: 'smtp_temporary_failure', ...RECONNECT };
  if (code === 503) return { error: 'smtp_protocol_error', ...RECONNECT };
  if (code < 500)
    return { error: 'smtp_temporary_failure', scope: 'message', retryable: true, backoffMs: null };
  const known = BY_ENHANCED.find((row) => row.enhanced.test(enhanced ?? ''))?.meaning;
  if (stage === 'rcpt')
    return known?.error === 'mailbox_full' ? known : { error: 'recipients_rejected', ...REFUSE };
  if (stage === 'mail') {
    const ofTheSender =
      code === 553 ||
      enhanced?.startsWith('5.1.') ||
      (enhanced?.startsWith('5.7.') && /\b(?:sender|from)\b/i.test(response));
    if (ofTheSender) return { error: 'sender_rejected', ...REFUSE };
  }
  // Without an enhanced code, 552 speaks of the size (RFC 1870, 6).
  return known ?? { error: code === 552 ? 'message_too_large' : 'smtp_rejected', ...REFUSE };
}

/** Before MAIL no message can be at fault, and what answers RCPT speaks of that recipient alone. */
function seenFrom(stage: Stage, { code }: SmtpReply, meaning: Meaning): Meaning {
  const { error, scope, backoffMs } = meaning;
  // 503 is out of turn: it says nothing about who logs in or what is sent.
  const lasting = code >= 500 && code !== 503;
  // Whatever its words, the answer is that there will be no encryption. Only 421 would have come to any command.
  if (stage === 'starttls' && code !== 421) return { error: 'tls_failed', ...PAUSE };
  if (stage === 'oauth' && error === 'bad_credentials') return { error: 'oauth_failed', ...PAUSE };
  if ((stage === 'auth' || stage === 'oauth') && scope !== 'account') {
    // Also what would be the connection's elsewhere: if each message that waits logged in again, Gmail would count too many logins.
    const refused = stage === 'oauth' ? 'oauth_failed' : 'bad_credentials';
    return { error: lasting ? refused : 'smtp_temporary_failure', ...PAUSE, backoffMs };
  }
  if (scope !== 'message' && scope !== 'recipient') return meaning;
  if (stage === 'session' || stage === 'starttls') {
    return { error: lasting ? 'connect_failed' : 'smtp_temporary_failure', ...RECONNECT, backoffMs };
  }
  return stage === 'rcpt' ? { ...meaning, scope: 'recipient' } : meaning;
}

/** Of the faults of all recipients, the one that decides: what heals by itself comes first; else the reason they share. */
function decisive(faults: readonly Fault[]): Fault {
  const healing =
    faults.find(({ scope }) => scope === 'account') ?? faults.find(({ retryable }) => retryable);
  const [first] = faults as [Fault];
  const chosen = healing ?? first;
  if (healing || faults.every(({ error }) => error.code === first.error.code)) return chosen;
  return {
    ...chosen,
    error: { ...chosen.error, code: 'recipients_rejected', hint: ERRORS.recipients_rejected.hint },
  };
}

function stageOf({ code, command, duringLogin }: Failure, { sessionReady, bodyStarted }: Progress): Stage {
  if (code === 'EAUTH' || duringLogin) return command === 'AUTH XOAUTH2' ? 'oauth' : 'auth';
  if (code === 'EMESSAGE') return 'message';
  if (command === 'STARTTLS') return 'starttls';
  if (command === 'MAIL FROM') return 'mail';
  if (command === 'RCPT TO') return 'rcpt';
  if (command === 'DATA') return 'data';
  // A 421 out of turn, or a refusal cut short by the end of the connection
  if (!sessionReady) return 'session';
  return bodyStarted ? 'message' : 'data';
}

function toFault(
  { error: code, scope, retryable, backoffMs, hint, splits }: Meaning,
  detail: string,
  smtp: SmtpReply | null,
): Fault {
  const error = {
    code,
    scope: scope === 'account' ? scope : 'message',
    detail: sentence(detail),
    hint: hint ?? ERRORS[code].hint,
    smtp,
  } as const;
  return { error, scope, retryable, backoffMs, certain: true, ...(splits ? { splits } : {}) };
}

function quote({ code, enhanced, response }: SmtpReply): string {
  return [code, enhanced, response].filter(Boolean).join(' ');
}

function sentence(text: string): string {
  if (text.length > MAX_DETAIL) return `${text.slice(0, MAX_DETAIL).toWellFormed()}…`;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
