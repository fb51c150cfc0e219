import { lookup } from 'node:dns/promises';
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { toTlsOptions } from '../../adapters/mail-server/tls-options.ts';
import { toOneLine } from '../../core/delivery/one-line.ts';

export type Family = 4 | 6;

/** Options of every network step. */
export interface NetworkOptions {
  /** Limit of each step, in ms. */
  readonly limitMs: number;
  /** PEM of a CA to trust in addition to Node's. */
  readonly ca: string | null;
  /** Returns the addresses of a host, or rejects with the resolver's code if it has none. */
  readonly resolve: (host: string, family: Family) => Promise<string[]>;
}

/** Resolves a host as the operating system does, including /etc/hosts. */
export async function resolveHost(host: string, family: Family): Promise<string[]> {
  return (await lookup(host, { all: true, family })).map(({ address }) => address);
}

export const NETWORK_DEFAULTS: NetworkOptions = { limitMs: 10_000, ca: null, resolve: resolveHost };

type TimeoutType =
  | 'DNS_TIMEOUT'
  | 'CONNECT_TIMEOUT'
  | 'GREETING_TIMEOUT'
  | 'UPGRADE_TIMEOUT'
  | 'SOCKET_TIMEOUT';

/**
 * Rejects if the promise takes longer than `limitMs`, with an error in nodemailer's form, which
 * `classify` reads. The operation itself continues: the caller must end it.
 *
 * @param what is missing, as in "no connection"
 */
export async function withTimeout<T>(
  limitMs: number,
  type: TimeoutType,
  what: string,
  promise: Promise<T>,
): Promise<T> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new Error(`${what} within ${limitMs / 1000} s`);
    reject(Object.assign(error, { code: type === 'DNS_TIMEOUT' ? 'EDNS' : 'ETIMEDOUT', timeoutType: type }));
  }, limitMs);
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Opens a TCP connection to one address. The caller must close it. */
export async function openTcp(address: string, port: number, limitMs: number): Promise<Socket> {
  const socket = connect({ host: address, port });
  try {
    await withTimeout(limitMs, 'CONNECT_TIMEOUT', 'no connection', untilReady(socket, 'connect'));
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Starts TLS on a connection, with the checks that the service makes: chain, name and dates. */
export async function openTls(
  socket: Socket,
  host: string,
  type: 'CONNECT_TIMEOUT' | 'UPGRADE_TIMEOUT',
  { ca, limitMs }: NetworkOptions,
): Promise<TLSSocket> {
  const tlsSocket = connectTls({ ...toConnectOptions(socket, host), ...toTlsOptions(ca) });
  await withTimeout(limitMs, type, 'no TLS', untilReady(tlsSocket, 'secureConnect'));
  return tlsSocket;
}

/** The certificate that a server presents. */
export interface PresentedCertificate {
  readonly issuer: string;
  readonly validTo: Date;
}

/**
 * Reads a certificate that is not trusted, to name its issuer. Sends nothing over this connection,
 * and closes it at once.
 */
export async function readUntrustedCertificate(
  socket: Socket,
  host: string,
  { limitMs }: NetworkOptions,
): Promise<PresentedCertificate> {
  const tlsSocket = connectTls({
    ...toConnectOptions(socket, host),
    ...toTlsOptions(null),
    rejectUnauthorized: false,
  });
  try {
    await withTimeout(limitMs, 'CONNECT_TIMEOUT', 'no TLS', untilReady(tlsSocket, 'secureConnect'));
    return certificateOf(tlsSocket);
  } finally {
    tlsSocket.destroy();
  }
}

const MAX_ISSUER = 200;

export function certificateOf(socket: TLSSocket): PresentedCertificate {
  const { issuer, valid_to } = socket.getPeerCertificate();
  const names = [issuer?.CN, issuer?.O].flat().filter((name) => name !== undefined);
  const text = toOneLine([[...new Set(names)].join(', ')]).slice(0, MAX_ISSUER);
  return { issuer: text || 'an unnamed issuer', validTo: new Date(valid_to) };
}

function toConnectOptions(socket: Socket, host: string) {
  return { socket, host, ...(isIP(host) ? {} : { servername: host }) };
}

function untilReady(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, resolve);
    // This listener stays: later errors reject the next read instead of being thrown.
    socket.on('error', reject);
    socket.once('close', () => reject(createClosedError()));
  });
}

/** The error of a connection that the other side closed, in nodemailer's form. */
export function createClosedError(): Error {
  return Object.assign(new Error('Connection closed'), { code: 'ECONNECTION' });
}
