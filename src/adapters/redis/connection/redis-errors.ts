import { AppError } from '../../../core/errors.ts';

/**
 * Redis cannot be used. The message states the reason and usually the fix, and continues "Redis at
 * … cannot be used:". It never contains the URL, which holds the password.
 */
export class RedisOpenError extends Error {
  override readonly name = 'RedisOpenError';
}

/**
 * Maps an error of Redis to `queue_unavailable`; returns any AppError unchanged. The cause omits
 * the failed command, which may contain a message or a password.
 */
export function toUnavailable(error: unknown): AppError {
  return error instanceof AppError
    ? error
    : new AppError('queue_unavailable', { cause: new Error(reasonOf(error)) });
}

/** Returns the error's message without the failed command, fit for a log. */
export function reasonOf(error: unknown): string {
  const [reason = ''] = (error instanceof Error ? error.message : String(error)).split(
    ', with args beginning with',
  );
  return reason;
}

const NOT_FOUND = 'the host name was not found. Correct the host in QUEUE_URL, or check DNS.';
const NO_ROUTE = 'there is no route to the host. Correct the host in QUEUE_URL, or check the network.';
const CLOSED =
  'it closed the connection. If it requires TLS, write rediss: in QUEUE_URL. Without a password, Redis accepts connections only from its own machine (protected-mode): set a password.';
const NO_TLS = 'it does not use TLS on this port. Write redis: in QUEUE_URL, or the port with TLS.';

/** Why Redis cannot be reached, and the fix, by the code of a connection or TLS error. */
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused. Start Redis, or correct the host and port in QUEUE_URL.',
  ENOTFOUND: NOT_FOUND,
  EAI_AGAIN: NOT_FOUND,
  EHOSTUNREACH: NO_ROUTE,
  ENETUNREACH: NO_ROUTE,
  ECONNRESET: CLOSED,
  EPIPE: CLOSED,
  EPROTO: NO_TLS,
  ERR_SSL_WRONG_VERSION_NUMBER: NO_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NO_TLS,
};

/** Explains why connecting failed, and how to fix it. */
export function explainConnectError(error: Error & { code?: string }): string {
  const { code = '' } = error;
  const reason = reasonOf(error);
  const [login] = /^(WRONGPASS|NOAUTH|NOPERM)/.exec(reason) ?? [];
  if (login) return `it refused the login (${login}). Correct the user and password in QUEUE_URL.`;
  if (reason.startsWith('Unknown RESP type'))
    return 'it does not speak the Redis protocol. Correct the host and port in QUEUE_URL.';
  if (reason === 'Connection is closed.') return CLOSED;
  if (/CERT|VERIFY/.test(code))
    return `its certificate is not trusted (${code}). Add its CA with NODE_EXTRA_CA_CERTS.`;
  return REASONS[code] ?? reason;
}
