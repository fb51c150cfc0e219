import type { SmtpReply } from '../../../core/delivery/delivery.ts';
import { toSentence } from '../../../core/delivery/one-line.ts';
import type { Fault } from '../../../core/delivery/outcome.ts';
import { ERRORS } from '../../../core/errors.ts';
import { MINUTE, SECOND } from '../../../core/time.ts';
import { BY_ENHANCED_CODE, type Classification, REPLIES } from './gmail-replies.ts';
import {
  type AttemptProgress,
  classifyWithoutReply,
  type ParsedError,
  parseError,
} from './nodemailer-errors.ts';

/**
 * What a reply responds to: the connection or EHLO, STARTTLS, AUTH with a password or with a token,
 * MAIL, RCPT, DATA, or the message itself.
 */
export type Stage = 'session' | 'starttls' | 'auth' | 'oauth' | 'mail' | 'rcpt' | 'data' | 'message';

const REFUSED: Readonly<Record<Stage, string>> = {
  session: 'The server refused the session',
  starttls: 'The server refused STARTTLS',
  auth: 'The server refused the login',
  oauth: 'The server refused the access token',
  mail: 'The server refused the sender',
  rcpt: 'The server refused the recipient',
  data: 'The server refused to receive the message',
  message: 'The server refused the message',
};

/**
 * Classifies a failed attempt: the scope of the fault, whether and when to retry, and whether the
 * server may have accepted the message anyway. Total: any thrown value results in a Fault, whose
 * texts contain no secret, certificate or stack.
 *
 * @param error nodemailer's error, or a SessionError
 */
export function classify(error: unknown, progress: AttemptProgress): Fault {
  const parsed = parseError(error);
  const { reply, duringLogin } = parsed;
  if (reply.code >= 400) return classifyReply(reply, stageOf(parsed, progress));
  const { classification, detail } = classifyWithoutReply(parsed, progress);
  const fault = toFault(duringLogin ? toLoginFault(classification) : classification, detail, null);
  // The dot was sent and no refusal was read: the message may have been accepted.
  return progress.bodyEnded
    ? { ...fault, certain: false, error: { ...fault.error, hint: ERRORS.delivery_uncertain.hint } }
    : fault;
}

/** Classifies a 4yz or 5yz reply at a stage of the session. Always certain: the server refused. */
export function classifyReply(reply: SmtpReply, stage: Stage): Fault {
  const classification = adjustToStage(stage, reply, findKnownReply(reply) ?? classifyByCode(reply, stage));
  // A 5yz about the account is retried, but stays until the operator fixes it.
  const isTemporary = classification.retryable && (classification.scope !== 'account' || reply.code < 500);
  return toFault(classification, `${REFUSED[stage]}${isTemporary ? ' for now' : ''}: ${quote(reply)}`, reply);
}

/** Each probe may count as a login, and Gmail rejects accounts that log in too often. */
const LOGIN_LOST_BACKOFF_MS = [5 * SECOND, 30 * SECOND, 2 * MINUTE, 5 * MINUTE, 15 * MINUTE];

/**
 * A connection lost during the login pauses the account: every queued message would log in, and
 * fail, too.
 */
function toLoginFault(classification: Classification): Classification {
  return classification.scope === 'connection'
    ? { ...classification, scope: 'account', backoffMs: LOGIN_LOST_BACKOFF_MS }
    : classification;
}

const PAUSE = { scope: 'account', retryable: true, backoffMs: null } as const;
const RECONNECT = { scope: 'connection', retryable: true, backoffMs: null } as const;
const REFUSE = { scope: 'message', retryable: false, backoffMs: null } as const;

function findKnownReply({ code, enhanced, response }: SmtpReply): Classification | undefined {
  const text = response.replace(/\s+/g, ' ');
  return REPLIES.find(
    (row) =>
      row.codes.includes(code) &&
      (row.enhanced === null || row.enhanced === enhanced) &&
      row.match.test(text),
  );
}

/**
 * Classifies a reply that has no row. The first digit decides whether to retry (RFC 5321, 4.2.1);
 * the enhanced code and the stage decide what the reply is about.
 */
function classifyByCode({ code, enhanced, response }: SmtpReply, stage: Stage): Classification {
  if (code === 421) return { error: 'smtp_temporary_failure', ...RECONNECT };
  if (code === 503) return { error: 'smtp_protocol_error', ...RECONNECT };
  if (code < 500)
    return { error: 'smtp_temporary_failure', scope: 'message', retryable: true, backoffMs: null };
  const known = BY_ENHANCED_CODE.find((row) => row.enhanced.test(enhanced ?? ''))?.classification;
  if (stage === 'rcpt')
    return known?.error === 'mailbox_full' ? known : { error: 'recipients_rejected', ...REFUSE };
  if (stage === 'mail') {
    const isAboutSender =
      code === 553 ||
      enhanced?.startsWith('5.1.') ||
      (enhanced?.startsWith('5.7.') && /\b(?:sender|from)\b/i.test(response));
    if (isAboutSender) return { error: 'sender_rejected', ...REFUSE };
  }
  // Without an enhanced code, 552 is about the size (RFC 1870, 6).
  return known ?? { error: code === 552 ? 'message_too_large' : 'smtp_rejected', ...REFUSE };
}

/** Before MAIL the message cannot be at fault, and a reply to RCPT concerns that recipient only. */
function adjustToStage(stage: Stage, { code }: SmtpReply, classification: Classification): Classification {
  const { error, scope, backoffMs } = classification;
  // 503 is about the order of commands: it says nothing about the login or the message.
  const isPermanent = code >= 500 && code !== 503;
  // Whatever its text, the session will not be encrypted. 421 may come in reply to any command.
  if (stage === 'starttls' && code !== 421) return { error: 'tls_failed', ...PAUSE };
  if (stage === 'oauth' && error === 'bad_credentials') return { error: 'oauth_failed', ...PAUSE };
  if ((stage === 'auth' || stage === 'oauth') && scope !== 'account') {
    // Faults of the connection, too: if each queued message logged in again, Gmail would count too
    // many logins.
    const refused = stage === 'oauth' ? 'oauth_failed' : 'bad_credentials';
    return { error: isPermanent ? refused : 'smtp_temporary_failure', ...PAUSE, backoffMs };
  }
  if (scope !== 'message' && scope !== 'recipient') return classification;
  if (stage === 'session' || stage === 'starttls') {
    return { error: isPermanent ? 'connect_failed' : 'smtp_temporary_failure', ...RECONNECT, backoffMs };
  }
  return stage === 'rcpt' ? { ...classification, scope: 'recipient' } : classification;
}

/**
 * Selects one fault when every recipient was refused. A fault that a retry can fix comes first,
 * then the reason that all recipients share, then `recipients_rejected`.
 */
export function selectDecisive(faults: readonly Fault[]): Fault {
  const temporary =
    faults.find(({ scope }) => scope === 'account') ?? faults.find(({ retryable }) => retryable);
  const [first] = faults as [Fault];
  const chosen = temporary ?? first;
  if (temporary || faults.every(({ error }) => error.code === first.error.code)) return chosen;
  return {
    ...chosen,
    error: { ...chosen.error, code: 'recipients_rejected', hint: ERRORS.recipients_rejected.hint },
  };
}

function stageOf(
  { code, command, duringLogin }: ParsedError,
  { sessionReady, bodyStarted }: AttemptProgress,
): Stage {
  if (code === 'EAUTH' || duringLogin) return command === 'AUTH XOAUTH2' ? 'oauth' : 'auth';
  if (command === 'STARTTLS') return 'starttls';
  // An unexpected 421, or a refusal cut short because the connection closed.
  if (!sessionReady) return 'session';
  return bodyStarted ? 'message' : 'data';
}

function toFault(
  { error: code, scope, retryable, backoffMs, hint, splits }: Classification,
  detail: string,
  smtp: SmtpReply | null,
): Fault {
  const error = {
    code,
    scope: scope === 'account' ? scope : 'message',
    detail: toSentence(detail),
    hint: (typeof hint === 'function' ? hint(smtp?.response ?? '') : hint) ?? ERRORS[code].hint,
    smtp,
  } as const;
  return { error, scope, retryable, backoffMs, certain: true, ...(splits ? { splits } : {}) };
}

function quote({ code, enhanced, response }: SmtpReply): string {
  return [code, enhanced, response].filter(Boolean).join(' ');
}
