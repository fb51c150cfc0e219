import type { SmtpReply } from '../../../core/delivery/delivery.ts';
import type { Meaning } from './gmail-replies.ts';
import { parseReply, toOneLine } from './reply-parser.ts';
import { TOKEN_UNREACHABLE, toTokenMeaning } from './token-errors.ts';

/** Where the attempt stood when it failed, as the stream method tells it. */
export interface Progress {
  /** Connected, encrypted and logged in: the message was about to go. */
  readonly sessionReady: boolean;
  /** The server asked for the body (354). */
  readonly bodyStarted: boolean;
  /** The final dot went out: from here on the server may have taken the message. */
  readonly bodyEnded: boolean;
}

/** What there is to know about something that was thrown. Nodemailer's errors have most of these; any may be empty. */
export interface Failure {
  readonly code: string;
  readonly command: string;
  readonly timeoutType: string;
  /** One line. An AggregateError (several addresses tried) has an empty one of its own, so that of its parts. */
  readonly message: string;
  /** The codes of the system, of TLS and of DNS under nodemailer's own. */
  readonly systemCodes: readonly string[];
  /** What the server said, if anything. */
  readonly said: string;
  /** The same, read as an SMTP reply; its code is 0 if it is none. */
  readonly reply: SmtpReply;
  /** When every recipient was refused: one error each. */
  readonly refusals: readonly unknown[];
  /** It broke while logging in. */
  readonly duringLogin: boolean;
}

export function readFailure(error: unknown): Failure {
  const parts = listOf(error, 'errors');
  const response = textOf(error, 'response');
  return {
    code: textOf(error, 'code'),
    command: textOf(error, 'command'),
    timeoutType: textOf(error, 'timeoutType'),
    message: toOneLine([textOf(error, 'message') || parts.map((part) => textOf(part, 'message')).join('; ')]),
    systemCodes: [error, ...parts]
      .flatMap((part) => [textOf(part, 'originalCode'), textOf(part, 'code')])
      .filter(Boolean),
    said: toOneLine([response]),
    reply: parseReply(response),
    refusals: listOf(error, 'rejectedErrors'),
    duringLogin: propertyOf(error, 'duringLogin') === true,
  };
}

export interface Finding {
  readonly meaning: Meaning;
  /** One sentence for the operator. */
  readonly detail: string;
}

/** What a failure means that no refusal of the server explains. */
export function interpret(failure: Failure, progress: Progress): Finding {
  const { code, command, message, said, systemCodes } = failure;
  const when = whenOf(progress);
  switch (code) {
    case 'EDNS':
      return {
        meaning: connection('dns_failed'),
        detail: `The server’s name could not be resolved: ${message}`,
      };
    case 'EABORT':
      return {
        meaning: connection(progress.sessionReady ? 'connection_lost' : 'connect_timeout'),
        detail: `Outtray gave up waiting ${when}`,
      };
    case 'EAUTH':
      if (systemCodes.includes('EFETCH'))
        return { meaning: TOKEN_UNREACHABLE, detail: `The token endpoint cannot be reached: ${message}` };
      if (systemCodes.includes('EOAUTH2'))
        return { meaning: toTokenMeaning(message), detail: `No access token could be had: ${message}` };
      return said
        ? notSmtp(said, when)
        : { meaning: account('bad_credentials'), detail: `No login was tried: ${message}` };
    case 'ETLS':
      if (said) return notSmtp(said, when);
      // A drop in the handshake says nothing about trust.
      if (message === 'Connection closed unexpectedly') return lost(when);
      return { meaning: account('tls_failed'), detail: `TLS could not be set up: ${message}` };
    case 'EPROTOCOL':
    case 'EENVELOPE':
    case 'EMESSAGE':
      return command === 'API' ? ourBug(message) : notSmtp(said || message, when);
    case 'ECONNECTION':
      if (said) return notSmtp(said, when);
      return interpretSocket(failure, progress) ?? lost(when);
    case 'ESOCKET':
      return (
        interpretSocket(failure, progress) ?? (progress.sessionReady ? lost(when) : unreachable(message))
      );
    default:
      // The pool drains its queue with an error that has no code.
      if (message === 'Connection pool was closed') return lost(when);
      return interpretSocket(failure, progress) ?? ourBug(message);
  }
}

const BROKEN = /^(?:ECONNRESET|ECONNABORTED|EPIPE)$/;
const UNREACHABLE = /^(?:ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|EHOSTDOWN|ENETDOWN|EADDRNOTAVAIL)$/;
/** OpenSSL's X509_V_ERR_* as Node names them, and Node's own ERR_TLS_CERT_ALTNAME_INVALID. */
const CERTIFICATE =
  /^(?!ERR_SSL_).*CERT|^CRL_|^UNABLE_TO_|^INVALID_(?:CA|PURPOSE)$|^PATH_LENGTH_EXCEEDED$|^HOSTNAME_MISMATCH$/;
const HANDSHAKE = /^(?:ERR_SSL_|ERR_TLS_|EPROTO$)/;
/** As OpenSSL names it, whether the server offers an older version or ends the handshake. */
const TOO_OLD = /UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION/;

/** Whether TLS failed because of who the other side is. */
export function isCertificateCode(code: string): boolean {
  return CERTIFICATE.test(code);
}

function interpretSocket({ systemCodes, timeoutType, message }: Failure, progress: Progress): Finding | null {
  const when = whenOf(progress);
  const has = (pattern: RegExp) => systemCodes.find((code) => pattern.test(code));
  if (has(/^ETIMEDOUT$/)) {
    // UPGRADE_TIMEOUT and SOCKET_TIMEOUT come after the server has spoken. Without a type it is the system's, which only connecting has.
    const silent = timeoutType ? /^(?:CONNECT|GREETING)_TIMEOUT$/.test(timeoutType) : !progress.sessionReady;
    return silent
      ? { meaning: connection('connect_timeout'), detail: `The server did not answer: ${message}` }
      : lost(when, message);
  }
  if (has(BROKEN)) return lost(when, message);
  if (has(UNREACHABLE)) return unreachable(message);
  const certificate = has(CERTIFICATE);
  if (certificate)
    return {
      meaning: account('tls_failed'),
      detail: `The server’s certificate is not trusted (${certificate})`,
    };
  const handshake = has(HANDSHAKE);
  if (!handshake) return null;
  if (progress.sessionReady) return lost(when, handshake);
  const why = TOO_OLD.test(handshake) ? 'The server offers no TLS 1.2 or newer' : 'TLS could not be set up';
  return { meaning: account('tls_failed'), detail: `${why} (${handshake})` };
}

type Code = Meaning['error'];
const connection = (error: Code): Meaning => ({
  error,
  scope: 'connection',
  retryable: true,
  backoffMs: null,
});
const account = (error: Code): Meaning => ({ error, scope: 'account', retryable: true, backoffMs: null });

const lost = (when: string, why = ''): Finding => ({
  meaning: connection('connection_lost'),
  detail: `The connection broke ${when}${why && ` (${why})`}`,
});
const unreachable = (why: string): Finding => ({
  meaning: connection('connect_failed'),
  detail: `No connection could be made: ${why}`,
});
const notSmtp = (said: string, when: string): Finding => ({
  meaning: connection('smtp_protocol_error'),
  detail: `The server did not speak SMTP ${when}: ${said}`,
});
/** It would fail the same way each time, and says nothing about the account. */
const ourBug = (message: string): Finding => ({
  meaning: { error: 'internal_error', scope: 'message', retryable: false, backoffMs: null },
  detail: `The message could not be handed over: ${message}`,
});

function whenOf({ sessionReady, bodyStarted, bodyEnded }: Progress): string {
  if (bodyEnded) return 'after the message was sent, before the answer came';
  if (bodyStarted) return 'in the middle of the message';
  return sessionReady ? 'before the message was sent' : 'before the session was ready';
}

function propertyOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

function textOf(value: unknown, key: string): string {
  const property = propertyOf(value, key);
  return typeof property === 'string' ? property : '';
}

function listOf(value: unknown, key: string): readonly unknown[] {
  const property = propertyOf(value, key);
  return Array.isArray(property) ? property : [];
}
