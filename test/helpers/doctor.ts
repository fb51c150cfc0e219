import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, isIP, type Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { Check } from '../../src/doctor/check.ts';
import { type DoctorOptions, runDoctor } from '../../src/doctor/doctor.ts';
import { createDnsClient } from '../../src/doctor/net/dns-client.ts';
import type { Family, NetworkOptions } from '../../src/doctor/net/sockets.ts';
import type { Report } from '../../src/doctor/report.ts';
import type { Simulator } from '../../src/simulator/simulator.ts';
import { createCertificate } from '../../src/simulator/tls/certificate.ts';
import {
  bitString,
  context,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  set,
  utcTime,
  utf8String,
} from '../../src/simulator/tls/der.ts';
import { API_KEY, APP_PASSWORD } from './service.ts';

export interface Setup {
  /** SMTP_URL. */
  readonly smtp: string;
  readonly env?: Record<string, string | undefined>;
  readonly network?: DoctorOptions['network'];
  readonly dns?: DoctorOptions['dns'];
  readonly compareWith?: DoctorOptions['compareWith'];
  readonly sendTo?: string;
}

/** Long enough for a busy machine. */
const LIMIT_MS = 3000;

/** A DNS server that refuses connections: what the network of the machine knows has no effect. */
const NO_DNS = createDnsClient(LIMIT_MS, ['127.0.0.1:9']);

/**
 * Runs the doctor against loopback addresses only. The comparison endpoint is a closed port unless
 * given.
 */
export function diagnose({
  smtp,
  env,
  network,
  dns,
  compareWith = { host: '127.0.0.1', port: 9 },
  sendTo,
}: Setup): Promise<Report> {
  return runDoctor({
    env: {
      API_KEYS: `crm:${API_KEY}`,
      GMAIL_USER: 'bot@simulator.test',
      GMAIL_APP_PASSWORD: APP_PASSWORD,
      SMTP_URL: smtp,
      ...env,
    },
    version: '0.0.0-test',
    sendTo: sendTo ?? null,
    compareWith,
    network: { limitMs: LIMIT_MS, resolve: resolveTo({ 4: '127.0.0.1' }), ...network },
    dns: dns ?? NO_DNS,
  });
}

/**
 * Returns a resolver with these addresses for every name, since `localhost` differs between
 * machines.
 */
export function resolveTo(addresses: Partial<Record<Family, string>>): NetworkOptions['resolve'] {
  return async (host, family) => {
    const address = isIP(host) === family ? host : addresses[family];
    if (address === undefined)
      throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' });
    return [address];
  };
}

/** Runs the doctor against a simulator whose certificate is trusted. */
export function diagnoseWith(gmail: Simulator, setup: Partial<Setup> = {}): Promise<Report> {
  return diagnose({ smtp: gmail.url, ...setup, network: { ca: gmail.ca, ...setup.network } });
}

/** Returns the only check with this id, or the one whose target matches. */
export function checkOf({ checks }: Report, id: string, target: RegExp = /.*/): Check {
  const found = checks.filter((check) => check.id === id && target.test(check.target));
  if (found.length !== 1 || !found[0])
    throw new Error(`${found.length} checks with the id ${id}:\n${JSON.stringify(checks, null, 2)}`);
  return found[0];
}

export interface Listener extends AsyncDisposable {
  readonly port: number;
}

/** Listens on one address, and accepts connections without sending anything. */
export function listenOn(host: string): Promise<Listener> {
  return open(createServer(), host);
}

/**
 * Starts a TLS server that sends a greeting, sends `reply` for each chunk it receives, and records
 * them.
 */
export async function startTlsServer(
  certificate: { cert: string; key: string },
  reply = '',
): Promise<Listener & { readonly received: string[] }> {
  const received: string[] = [];
  const server = createTlsServer(certificate, (socket) => {
    socket.on('data', (chunk) => {
      received.push(String(chunk));
      socket.write(reply);
    });
    socket.on('error', () => {});
    socket.write('220 tls.test ESMTP\r\n');
  });
  server.on('tlsClientError', () => {});
  return { ...(await open(server, '127.0.0.1')), received };
}

async function open(server: Server, host: string): Promise<Listener> {
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => sockets.add(socket.on('error', () => {})));
  server.listen(0, host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

const DAY_MS = 24 * 60 * 60 * 1000;
const ECDSA_WITH_SHA256 = sequence(objectIdentifier('1.2.840.10045.4.3.2'));

/**
 * Creates a self-signed certificate for localhost, valid between these days from now. It is its own
 * CA.
 */
export function certificateFor(
  fromDays: number,
  untilDays: number,
): { ca: string; cert: string; key: string } {
  const { key } = createCertificate(['localhost']);
  const name = sequence(set(sequence(objectIdentifier('2.5.4.3'), utf8String('Short-lived CA'))));
  const names = sequence(context(2, Buffer.from('localhost'), 'primitive'));
  const body = sequence(
    context(0, integer(Buffer.from([2])), 'constructed'),
    integer(Buffer.from([1])),
    ECDSA_WITH_SHA256,
    name,
    sequence(utcTime(Date.now() + fromDays * DAY_MS), utcTime(Date.now() + untilDays * DAY_MS)),
    name,
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    context(3, sequence(sequence(objectIdentifier('2.5.29.17'), octetString(names))), 'constructed'),
  );
  const der = sequence(body, ECDSA_WITH_SHA256, bitString(sign('sha256', body, createPrivateKey(key))));
  const cert = `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
  return { ca: cert, cert, key };
}
