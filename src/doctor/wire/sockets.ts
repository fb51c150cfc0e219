import { lookup } from 'node:dns/promises';
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { toOneLine } from '../../adapters/smtp/errors/reply-parser.ts';
import { toTlsOptions } from '../../adapters/smtp/server-options.ts';

export type Family = 4 | 6;

/** What every step on the network needs. */
export interface Wire {
  /** Each step at most, in ms. */
  readonly limitMs: number;
  /** A CA to trust besides those of Node, as PEM. */
  readonly ca: string | null;
  /** The addresses of a host. Rejects with the code of the resolver if it has none. */
  readonly resolve: (host: string, family: Family) => Promise<string[]>;
}

/** As the system resolves names, /etc/hosts and all. */
export async function resolveHost(host: string, family: Family): Promise<string[]> {
  return (await lookup(host, { all: true, family })).map(({ address }) => address);
}

type TimeoutType =
  | 'DNS_TIMEOUT'
  | 'CONNECT_TIMEOUT'
  | 'GREETING_TIMEOUT'
  | 'UPGRADE_TIMEOUT'
  | 'SOCKET_TIMEOUT';

/** Rejects in nodemailer's terms, which `classify` reads, when the promise takes longer. What was waited for goes on: end it. */
export async function within<T>(
  ms: number,
  type: TimeoutType,
  what: string,
  promise: Promise<T>,
): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const error = new Error(`${what} within ${ms / 1000} s`);
    reject(Object.assign(error, { code: type === 'DNS_TIMEOUT' ? 'EDNS' : 'ETIMEDOUT', timeoutType: type }));
  }, ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A TCP connection to one address. The caller ends it. */
export async function dial(address: string, port: number, limitMs: number): Promise<Socket> {
  const socket = connect({ host: address, port });
  try {
    await within(limitMs, 'CONNECT_TIMEOUT', 'no connection', untilReady(socket, 'connect'));
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** TLS over a connection, verified as the product verifies it: the chain, the name, the dates. */
export async function encrypt(
  socket: Socket,
  host: string,
  type: 'CONNECT_TIMEOUT' | 'UPGRADE_TIMEOUT',
  { ca, limitMs }: Wire,
): Promise<TLSSocket> {
  const encrypted = connectTls({ ...over(socket, host), ...toTlsOptions(ca) });
  await within(limitMs, type, 'no TLS', untilReady(encrypted, 'secureConnect'));
  return encrypted;
}

/** What a server shows of itself. */
export interface PresentedCertificate {
  readonly issuer: string;
  readonly validTo: Date;
}

/**
 * Reads the certificate of a server that was found not to be trusted, to say who made it. Nothing is said through this connection, and it is
 * closed at once.
 */
export async function lookAt(socket: Socket, host: string, { limitMs }: Wire): Promise<PresentedCertificate> {
  const seen = connectTls({ ...over(socket, host), ...toTlsOptions(null), rejectUnauthorized: false });
  try {
    await within(limitMs, 'CONNECT_TIMEOUT', 'no TLS', untilReady(seen, 'secureConnect'));
    return certificateOf(seen);
  } finally {
    seen.destroy();
  }
}

const MAX_ISSUER = 200;

export function certificateOf(socket: TLSSocket): PresentedCertificate {
  const { issuer, valid_to } = socket.getPeerCertificate();
  const names = [issuer?.CN, issuer?.O].flat().filter((name) => name !== undefined);
  const text = toOneLine([[...new Set(names)].join(', ')]).slice(0, MAX_ISSUER);
  return { issuer: text || 'nobody it names', validTo: new Date(valid_to) };
}

function over(socket: Socket, host: string) {
  return { socket, host, ...(isIP(host) ? {} : { servername: host }) };
}

function untilReady(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, resolve);
    // Stays on: whatever comes later is found by who reads, not thrown.
    socket.on('error', reject);
    socket.once('close', () => reject(hungUp()));
  });
}

/** The other side closed the connection, in nodemailer's terms. */
export function hungUp(): Error {
  return Object.assign(new Error('Connection closed'), { code: 'ECONNECTION' });
}
