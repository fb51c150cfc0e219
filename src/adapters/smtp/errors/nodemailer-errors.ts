import type { SmtpReply } from '../../../core/delivery/delivery.ts';
import { parseReply, toOneLine } from '../../../core/delivery/smtp-reply.ts';
import type { Classification } from './gmail-replies.ts';
import { classifyTokenError, TOKEN_ENDPOINT_UNREACHABLE } from './token-errors.ts';

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
export interface ParsedError {
  readonly code: string;
  readonly command: string;
  readonly timeoutType: string;
  /**
   * One line. For an AggregateError (several addresses tried), whose own message is empty, those of
   * its parts.
   */
  readonly message: string;
  /** Codes of the operating system, of TLS and of DNS below nodemailer's own code. */
  readonly systemCodes: readonly string[];
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
  const parts = arrayProperty(error, 'errors');
  const response = textProperty(error, 'response');
  return {
    code: textProperty(error, 'code'),
    command: textProperty(error, 'command'),
    timeoutType: textProperty(error, 'timeoutType'),
    message: toOneLine([
      textProperty(error, 'message') || parts.map((part) => textProperty(part, 'message')).join('; '),
    ]),
    systemCodes: [error, ...parts]
      .flatMap((part) => [textProperty(part, 'originalCode'), textProperty(part, 'code')])
      .filter(Boolean),
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
      if (systemCodes.includes('EFETCH'))
        return {
          classification: TOKEN_ENDPOINT_UNREACHABLE,
          detail: `The token endpoint cannot be reached: ${message}`,
        };
      if (systemCodes.includes('EOAUTH2'))
        return {
          classification: classifyTokenError(message),
          detail: `No access token was issued: ${message}`,
        };
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
/** OpenSSL's X509_V_ERR_* as Node names them, and Node's own ERR_TLS_CERT_ALTNAME_INVALID. */
const CERTIFICATE =
  /^(?!ERR_SSL_).*CERT|^CRL_|^UNABLE_TO_|^INVALID_(?:CA|PURPOSE)$|^PATH_LENGTH_EXCEEDED$|^HOSTNAME_MISMATCH$/;
const HANDSHAKE = /^(?:ERR_SSL_|ERR_TLS_|EPROTO$)/;
/**
 * OpenSSL's names for a server that offers only an older version, or that ends the handshake over
 * the version.
 */
const TLS_TOO_OLD = /UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION/;

/** Returns true if TLS failed because the server's certificate is not trusted. */
export function isCertificateCode(code: string): boolean {
  return CERTIFICATE.test(code);
}

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
  const certificate = findCode(CERTIFICATE);
  if (certificate)
    return {
      classification: account('tls_failed'),
      detail: `The server’s certificate is not trusted (${certificate})`,
    };
  const handshake = findCode(HANDSHAKE);
  if (!handshake) return null;
  if (progress.sessionReady) return connectionLost(when, handshake);
  const reason = TLS_TOO_OLD.test(handshake)
    ? 'The server does not support TLS 1.2 or newer'
    : 'TLS could not be set up';
  return { classification: account('tls_failed'), detail: `${reason} (${handshake})` };
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

function propertyOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

function textProperty(value: unknown, key: string): string {
  const property = propertyOf(value, key);
  return typeof property === 'string' ? property : '';
}

function arrayProperty(value: unknown, key: string): readonly unknown[] {
  const property = propertyOf(value, key);
  return Array.isArray(property) ? property : [];
}
