import { toOneLine } from '../../core/delivery/one-line.ts';

/** The cause of an error of Node, or of a library above it. Any may be empty. */
export interface SystemError {
  /**
   * One line. For an AggregateError (several addresses tried), whose own message is empty, those of
   * its parts.
   */
  readonly message: string;
  /** Codes of the operating system, of TLS and of DNS, also below a library's own code. */
  readonly systemCodes: readonly string[];
}

/** Reads the cause of a failure. Total: accepts any thrown value. */
export function describeSystemError(error: unknown): SystemError {
  const parts = arrayProperty(error, 'errors');
  return {
    message: toOneLine([
      textProperty(error, 'message') || parts.map((part) => textProperty(part, 'message')).join('; '),
    ]),
    systemCodes: [error, ...parts]
      .flatMap((part) => [textProperty(part, 'originalCode'), textProperty(part, 'code')])
      .filter(Boolean),
  };
}

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

export interface TlsFailure {
  readonly kind: 'certificate' | 'handshake';
  readonly code: string;
  readonly detail: string;
}

/** Returns null if none of the codes is one of TLS. */
export function explainTlsFailure(systemCodes: readonly string[]): TlsFailure | null {
  const certificate = systemCodes.find(isCertificateCode);
  if (certificate) {
    const detail = `The server’s certificate is not trusted (${certificate})`;
    return { kind: 'certificate', code: certificate, detail };
  }
  const handshake = systemCodes.find((code) => HANDSHAKE.test(code));
  if (!handshake) return null;
  const reason = TLS_TOO_OLD.test(handshake)
    ? 'The server does not support TLS 1.2 or newer'
    : 'TLS could not be set up';
  return { kind: 'handshake', code: handshake, detail: `${reason} (${handshake})` };
}

export function propertyOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

export function textProperty(value: unknown, key: string): string {
  const property = propertyOf(value, key);
  return typeof property === 'string' ? property : '';
}

function arrayProperty(value: unknown, key: string): readonly unknown[] {
  const property = propertyOf(value, key);
  return Array.isArray(property) ? property : [];
}
