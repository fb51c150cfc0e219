import type { SmtpReply } from '../../../core/delivery/delivery.ts';
import { toOneLine } from '../../../core/delivery/one-line.ts';
import { parseReply } from '../../../core/delivery/smtp-reply.ts';
import {
  describeSystemError,
  explainTlsFailure,
  propertyOf,
  type SystemError,
  textProperty,
} from '../../mail-server/system-error.ts';
import { explainTokenError } from '../../mail-server/token-errors.ts';
import type { Classification } from './gmail-replies.ts';

/** How far an attempt has come. */
export interface AttemptProgress {
  /** Connected, encrypted and logged in: the message is about to be sent. */
  readonly sessionReady: boolean;
  /** The server asked for the body (354). */
  readonly bodyStarted: boolean;
  /** The final dot was sent: from now on the server may have accepted the message. */
  readonly bodyEnded: boolean;
}

/** The properties of a thrown value that classification needs. Any may be empty. */
export interface ParsedError extends SystemError {
  readonly code: string;
  readonly command: string;
  readonly timeoutType: string;
  /** The server's response on one line; empty if there was none. */
  readonly responseText: string;
  /** The same response parsed as an SMTP reply; its code is 0 if it is not one. */
  readonly reply: SmtpReply;
  /** The failure happened during the login. */
  readonly duringLogin: boolean;
}

/**
 * Reads the properties of nodemailer's, Node's or any other error. Total: accepts whatever was
 * thrown.
 */
export function parseError(error: unknown): ParsedError {
  const response = textProperty(error, 'response');
  return {
    ...describeSystemError(error),
    code: textProperty(error, 'code'),
    command: textProperty(error, 'command'),
    timeoutType: textProperty(error, 'timeoutType'),
    responseText: toOneLine([response]),
    reply: parseReply(response),
    duringLogin: propertyOf(error, 'duringLogin') === true,
  };
}

/** A classification with its explanation: one sentence for the operator. */
export interface ClassifiedError {
  readonly classification: Classification;
  readonly detail: string;
}

/** Classifies an error that was not caused by a 4yz or 5yz reply. */
export function classifyWithoutReply(error: ParsedError, progress: AttemptProgress): ClassifiedError {
  const { code, message, responseText, systemCodes } = error;
  const when = describeProgress(progress);
  switch (code) {
    case 'EDNS':
      return {
        classification: connection('dns_failed'),
        detail: `The server name could not be resolved: ${message}`,
      };
    case 'EABORT':
      return {
        classification: connection(progress.sessionReady ? 'connection_lost' : 'connect_timeout'),
        detail: `The attempt timed out or was stopped ${when}`,
      };
    case 'EAUTH':
      if (systemCodes.includes('EFETCH')) return tokenFailure('EFETCH', message);
      if (systemCodes.includes('EOAUTH2')) return tokenFailure('EOAUTH2', message);
      return responseText
        ? protocolError(responseText, when)
        : { classification: account('bad_credentials'), detail: `No login was attempted: ${message}` };
    case 'ETLS':
      if (responseText) return protocolError(responseText, when);
      // A connection closed during the handshake says nothing about trust.
      if (message === 'Connection closed unexpectedly') return connectionLost(when);
      return { classification: account('tls_failed'), detail: `TLS could not be set up: ${message}` };
    case 'EPROTOCOL':
      return protocolError(responseText || message, when);
    case 'ECONNECTION':
      if (responseText) return protocolError(responseText, when);
      return classifySocketError(error, progress) ?? connectionLost(when);
    case 'ESOCKET':
      return (
        classifySocketError(error, progress) ??
        (progress.sessionReady ? connectionLost(when) : connectFailed(message))
      );
    default:
      return classifySocketError(error, progress) ?? internalError(message);
  }
}

const RESET = /^(?:ECONNRESET|ECONNABORTED|EPIPE)$/;
const UNREACHABLE = /^(?:ECONNREFUSED|ENETUNREACH|EHOSTUNREACH|EHOSTDOWN|ENETDOWN|EADDRNOTAVAIL)$/;

function classifySocketError(
  { systemCodes, timeoutType, message }: ParsedError,
  progress: AttemptProgress,
): ClassifiedError | null {
  const when = describeProgress(progress);
  const findCode = (pattern: RegExp) => systemCodes.find((code) => pattern.test(code));
  if (findCode(/^ETIMEDOUT$/)) {
    // UPGRADE_TIMEOUT and SOCKET_TIMEOUT come after the server has responded. Without a type the
    // timeout is the operating system's, which only connecting has.
    const neverResponded = timeoutType
      ? /^(?:CONNECT|GREETING)_TIMEOUT$/.test(timeoutType)
      : !progress.sessionReady;
    return neverResponded
      ? { classification: connection('connect_timeout'), detail: `The server did not respond: ${message}` }
      : connectionLost(when, message);
  }
  if (findCode(RESET)) return connectionLost(when, message);
  if (findCode(UNREACHABLE)) return connectFailed(message);
  const tls = explainTlsFailure(systemCodes);
  if (!tls) return null;
  if (tls.kind === 'handshake' && progress.sessionReady) return connectionLost(when, tls.code);
  return { classification: account('tls_failed'), detail: tls.detail };
}

type Code = Classification['error'];
const connection = (error: Code): Classification => ({
  error,
  scope: 'connection',
  retryable: true,
  backoffMs: null,
});
const account = (error: Code): Classification => ({
  error,
  scope: 'account',
  retryable: true,
  backoffMs: null,
});

function tokenFailure(code: 'EFETCH' | 'EOAUTH2', message: string): ClassifiedError {
  const { error, hint, backoffMs, detail } = explainTokenError(code, message);
  return { classification: { ...account(error), backoffMs, ...(hint ? { hint } : {}) }, detail };
}

const connectionLost = (when: string, reason = ''): ClassifiedError => ({
  classification: connection('connection_lost'),
  detail: `The connection was lost ${when}${reason && ` (${reason})`}`,
});
const connectFailed = (reason: string): ClassifiedError => ({
  classification: connection('connect_failed'),
  detail: `No connection could be made: ${reason}`,
});
const protocolError = (response: string, when: string): ClassifiedError => ({
  classification: connection('smtp_protocol_error'),
  detail: `The server violated the SMTP protocol ${when}: ${response}`,
});
/**
 * An error in Outtray: it would fail the same way at each attempt, and says nothing about the
 * account.
 */
const internalError = (message: string): ClassifiedError => ({
  classification: { error: 'internal_error', scope: 'message', retryable: false, backoffMs: null },
  detail: `The message could not be prepared for sending: ${message}`,
});

function describeProgress({ sessionReady, bodyStarted, bodyEnded }: AttemptProgress): string {
  if (bodyEnded) return 'after the message was sent, before the server replied';
  if (bodyStarted) return 'while the message was being sent';
  return sessionReady ? 'before the message was sent' : 'before the session was ready';
}
