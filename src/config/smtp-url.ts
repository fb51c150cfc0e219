import { InvalidValue, isHost, splitList } from './value-parsers.ts';

/**
 * One server of SMTP_URL. `starttls` and `implicit` are always encrypted. `never` is unencrypted
 * and never logs in.
 */
export interface SmtpServer {
  readonly host: string;
  readonly port: number;
  readonly tls: 'starttls' | 'implicit' | 'never';
}

const DEFAULT_PORTS = { 'smtp:': 587, 'smtps:': 465 } as const;

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
  const url = URL.parse(entry);
  if (url === null)
    throw new InvalidValue(`${label} is not a URL: write smtp://host:587 or smtps://host:465.`);
  const { protocol } = url;
  if (protocol !== 'smtp:' && protocol !== 'smtps:') {
    throw new InvalidValue(
      `${label} must start with smtp:// (STARTTLS) or smtps:// (TLS from the first byte).`,
    );
  }
  if ((url.pathname !== '' && url.pathname !== '/') || url.hash !== '') {
    throw new InvalidValue(
      `${label} has something after the port: write only ${protocol}//host:${DEFAULT_PORTS[protocol]}.`,
    );
  }
  return {
    host: hostOf(url, label),
    port: portOf(url, DEFAULT_PORTS[protocol], label),
    tls: tlsOf(url, label),
  };
}

function credentialsReason(entry: string): string {
  return entry.includes('tls=never')
    ? 'has credentials and tls=never: they would be sent unencrypted. Remove them, or remove tls=never and use GMAIL_USER and GMAIL_APP_PASSWORD.'
    : 'has credentials: remove them from the URL and set GMAIL_USER and GMAIL_APP_PASSWORD.';
}

function hostOf(url: URL, label: string): string {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (!isHost(host))
    throw new InvalidValue(`${label} has no usable host: write a host name in ASCII, or an IP address.`);
  return host.toLowerCase();
}

function portOf(url: URL, fallback: number, label: string): number {
  if (url.port === '0')
    throw new InvalidValue(`${label} has port 0: Gmail listens on 587 (smtp:) and 465 (smtps:).`);
  return url.port === '' ? fallback : Number(url.port);
}

function tlsOf(url: URL, label: string): SmtpServer['tls'] {
  if (url.search === '') return url.protocol === 'smtp:' ? 'starttls' : 'implicit';
  if (url.search !== '?tls=never')
    throw new InvalidValue(`${label} has an unknown parameter: the only parameter is ?tls=never.`);
  if (url.protocol === 'smtps:')
    throw new InvalidValue(`${label} has tls=never on smtps:, which is TLS from the first byte: use smtp:.`);
  return 'never';
}
