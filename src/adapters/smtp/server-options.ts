import { hostname } from 'node:os';
import type { SMTPConnectionOptions } from 'nodemailer/lib/smtp-connection';
import type { Resolve } from '../mail-server/resolve.ts';
import { toTlsOptions } from '../mail-server/tls-options.ts';

/**
 * Time limits of one attempt, in ms. Enforced here, because nodemailer's socket timeout never fires
 * for a server that trickles data.
 */
export interface Deadlines {
  readonly dnsMs: number;
  /** TCP and TLS. */
  readonly connectMs: number;
  readonly greetingMs: number;
  /** The whole request for an access token. */
  readonly tokenMs: number;
  /** From the start of the attempt until the body is sent. */
  readonly setupMs: number;
  /**
   * From the start of the body until the final reply. RFC 5321, 4.5.3.2 allows 10 minutes for that
   * reply.
   */
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

/** An SMTP server and how to connect to it. */
export interface ServerOptions {
  readonly host: string;
  readonly port: number;
  /** With `never`, no credentials are sent. */
  readonly tls: 'starttls' | 'implicit' | 'never';
  /** With `none`, no credentials are sent either. */
  readonly login?: 'none';
  /** Name in EHLO: a dotted host name, since smtp-relay.gmail.com rejects address literals. */
  readonly ehloName: string;
  /** PEM of a CA to trust in addition to Node's. */
  readonly ca: string | null;
  readonly deadlines: Deadlines;
  readonly resolve: Resolve;
}

/** Maps the options to those of nodemailer's connection, without a login. */
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
 * The EHLO name for an account: the host name of this machine if it has a dot, else the domain of
 * `user`.
 */
export function defaultEhloName(user: string): string {
  const name = hostname();
  return /^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$/.test(name) ? name : user.slice(user.lastIndexOf('@') + 1);
}
