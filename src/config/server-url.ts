import { InvalidValue, isHost } from './value-parsers.ts';

/** The two URL schemes of a protocol, with the default port of each. */
export interface UrlSchemes {
  /** Requires STARTTLS, such as `smtp:`. With an `s` at its end it is TLS from the first byte. */
  readonly name: string;
  readonly starttlsPort: number;
  readonly tlsPort: number;
}

export interface ServerUrl {
  readonly url: URL;
  readonly host: string;
  readonly port: number;
  readonly tls: 'starttls' | 'implicit';
}

/**
 * Parses `name://host:port` or `names://host:port`, without credentials or path. Leaves parameters
 * to the caller. Errors start with `label`, and do not repeat the text, as it may contain a
 * password.
 *
 * @throws {InvalidValue}
 */
export function parseServerUrl(text: string, label: string, schemes: UrlSchemes): ServerUrl {
  const { name, starttlsPort, tlsPort } = schemes;
  const url = URL.parse(text);
  if (url === null)
    throw new InvalidValue(
      `${label} is not a URL: write ${name}://host:${starttlsPort} or ${name}s://host:${tlsPort}.`,
    );
  const isImplicit = url.protocol === `${name}s:`;
  if (!isImplicit && url.protocol !== `${name}:`) {
    throw new InvalidValue(
      `${label} must start with ${name}:// (STARTTLS) or ${name}s:// (TLS from the first byte).`,
    );
  }
  const defaultPort = isImplicit ? tlsPort : starttlsPort;
  if ((url.pathname !== '' && url.pathname !== '/') || url.hash !== '') {
    throw new InvalidValue(
      `${label} has something after the port: write only ${url.protocol}//host:${defaultPort}.`,
    );
  }
  if (url.port === '0')
    throw new InvalidValue(
      `${label} has port 0: Gmail listens on ${starttlsPort} (${name}:) and ${tlsPort} (${name}s:).`,
    );
  return {
    url,
    host: hostOf(url, label),
    port: url.port === '' ? defaultPort : Number(url.port),
    tls: isImplicit ? 'implicit' : 'starttls',
  };
}

function hostOf(url: URL, label: string): string {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (!isHost(host))
    throw new InvalidValue(`${label} has no usable host: write a host name in ASCII, or an IP address.`);
  return host.toLowerCase();
}
