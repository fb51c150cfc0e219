import { parseServerUrl } from './server-url.ts';
import { InvalidValue, splitList } from './value-parsers.ts';

/**
 * One server of SMTP_URL. `starttls` and `implicit` are always encrypted. `never` is unencrypted
 * and never logs in.
 */
export interface SmtpServer {
  readonly host: string;
  readonly port: number;
  readonly tls: 'starttls' | 'implicit' | 'never';
  /** `none`: an encrypted server that knows its clients by their IP address. */
  readonly login?: 'none';
}

const SCHEMES = { name: 'smtp', starttlsPort: 587, tlsPort: 465 };
/** The Workspace relay (https://support.google.com/a/answer/2956491). */
const RELAY_HOST = 'smtp-relay.gmail.com';
export const RELAY_URL = `smtp://${RELAY_HOST}:587?login=none`;
const GMAIL_HOST = /^smtp\.(?:gmail|googlemail)\.com$/;

/** Whether an account logs in to this server. */
export function logsIn({ tls, login }: SmtpServer): boolean {
  return tls !== 'never' && login !== 'none';
}

/** Whether this server is the Workspace relay, or a server that is used like it. */
export function isRelay({ host, login }: SmtpServer): boolean {
  return host === RELAY_HOST || login === 'none';
}

/** Whether this is the server that accepts mail only after a login, from addresses of the login. */
export function isGmail({ host }: SmtpServer): boolean {
  return GMAIL_HOST.test(host);
}

/** Whether this server may replace From: only servers with a login do, except the relay. */
export function rewritesFrom(server: SmtpServer): boolean {
  return logsIn(server) && !isRelay(server);
}

/**
 * Parses `smtp://host:587,smtps://host:465`, servers in order of preference. Errors repeat no
 * entry, as it may contain a password.
 */
export function parseSmtpUrl(text: string): SmtpServer[] {
  const entries = splitList(text);
  if (entries.length === 0)
    throw new InvalidValue('It must name at least one server, such as smtp://smtp.gmail.com:587.');
  return entries.map((entry, i) => parseServer(entry, `Server ${i + 1}`));
}

function parseServer(entry: string, label: string): SmtpServer {
  // Checked before parsing: a password with "/" or "#" makes the URL malformed, and this error is
  // better.
  if (entry.includes('@')) throw new InvalidValue(`${label} ${credentialsReason(entry)}`);
  const { url, host, port, tls: encrypted } = parseServerUrl(entry, label, SCHEMES);
  const { tls, login } = parametersOf(url, encrypted, label);
  const server = { host, port, tls };
  if (login === undefined) return server;
  if (isGmail(server)) {
    throw new InvalidValue(
      `${label} has login=none, but ${host} accepts mail only after a login. The Workspace relay needs none: ${RELAY_URL}.`,
    );
  }
  return { ...server, login };
}

function credentialsReason(entry: string): string {
  if (entry.includes('login=none'))
    return 'has credentials and login=none, which never logs in: remove them.';
  return entry.includes('tls=never')
    ? 'has credentials and tls=never: they would be sent unencrypted. Remove them, or remove tls=never and use GMAIL_USER and GMAIL_APP_PASSWORD.'
    : 'has credentials: remove them from the URL and set GMAIL_USER and GMAIL_APP_PASSWORD.';
}

function parametersOf(
  url: URL,
  encrypted: 'starttls' | 'implicit',
  label: string,
): Pick<SmtpServer, 'tls' | 'login'> {
  const parameters = [...url.searchParams].map(([name, value]) => `${name}=${value}`);
  if (parameters.some((parameter) => !['tls=never', 'login=none'].includes(parameter)))
    throw new InvalidValue(
      `${label} has an unknown parameter: the parameters are ?tls=never and ?login=none.`,
    );
  const isUnencrypted = parameters.includes('tls=never');
  if (isUnencrypted && encrypted === 'implicit')
    throw new InvalidValue(`${label} has tls=never on smtps:, which is TLS from the first byte: use smtp:.`);
  return {
    tls: isUnencrypted ? 'never' : encrypted,
    ...(parameters.includes('login=none') ? { login: 'none' } : {}),
  };
}
