import { rootCertificates } from 'node:tls';
import type { SMTPConnectionOptions } from 'nodemailer/lib/smtp-connection';
import type { Resolve } from './connection/resolve.ts';

/** Our own limits on an attempt, in ms: nodemailer's socket timeout never cuts a server that trickles. */
export interface Deadlines {
  readonly dnsMs: number;
  /** TCP and TLS. */
  readonly connectMs: number;
  readonly greetingMs: number;
  /** The whole request for an access token. */
  readonly tokenMs: number;
  /** From the start of the attempt until the body goes out. */
  readonly setupMs: number;
  /** From the start of the body until the final reply (RFC 5321, 4.5.3.2: 10 minutes for the reply alone). */
  readonly bodyMs: number;
}

export const DEADLINES: Deadlines = {
  dnsMs: 5000,
  connectMs: 15_000,
  greetingMs: 10_000,
  tokenMs: 10_000,
  setupMs: 60_000,
  bodyMs: 600_000,
};

/** A server, and how to speak with it. */
export interface ServerOptions {
  readonly host: string;
  readonly port: number;
  /** With `never`, no credentials are sent. */
  readonly tls: 'starttls' | 'implicit' | 'never';
  /** What EHLO says: a dotted host name, since smtp-relay.gmail.com refuses an address literal. */
  readonly ehloName: string;
  /** A CA to trust besides those of Node, as PEM. */
  readonly ca: string | null;
  readonly deadlines: Deadlines;
  readonly resolve: Resolve;
}

/** The same as nodemailer takes it, without a login. */
export function toConnectionOptions({ host, port, tls, ehloName, ca, deadlines }: ServerOptions) {
  return {
    host,
    port,
    name: ehloName,
    secure: tls === 'implicit',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'never',
    tls: toTlsOptions(ca),
    dnsTimeout: deadlines.dnsMs,
    connectionTimeout: deadlines.connectMs,
    greetingTimeout: deadlines.greetingMs,
    socketTimeout: deadlines.bodyMs,
  } satisfies SMTPConnectionOptions;
}

/**
 * Said explicitly: Node's defaults follow NODE_TLS_REJECT_UNAUTHORIZED and `--tls-min-v1.0`.
 *
 * @param ca trusted besides those of Node, as PEM
 */
export function toTlsOptions(ca: string | null) {
  return {
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...(ca ? { ca: [...rootCertificates, ca] } : {}),
  } as const;
}
