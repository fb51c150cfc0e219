import type { LookupFunction } from 'node:net';
import SMTPConnection, { type SMTPConnectionConnectOptions } from 'nodemailer/lib/smtp-connection';
import type { Resolve } from './resolve.ts';
import type { toConnectionOptions } from './server-options.ts';

/** What {@link StrictConnection} uses of nodemailer's connection beyond its declared interface. The version of nodemailer is pinned for it. */
interface Internals {
  /** When connecting must have ended, as epoch ms. */
  readonly _connectionDeadline: number;
  _resolveAndConnect(options: SMTPConnectionConnectOptions, connect: (resolved: object) => void): void;
  _onError(error: Error, code: string, response: false, command: string): void;
}

const Connection = SMTPConnection as unknown as new (options: ReturnType<typeof toConnectionOptions>) => SMTPConnection & Internals;

/** Nodemailer's connection, which resolves names as the operating system does. */
export class StrictConnection extends Connection {
  readonly #resolve: (host: string, limitMs: number) => ReturnType<Resolve>;

  constructor(options: ReturnType<typeof toConnectionOptions>, resolve: Resolve) {
    super(options);
    this.#resolve = (host, limitMs) => within(limitMs, host, resolve(host));
  }

  /** Nodemailer would ask DNS itself: what only /etc/hosts knows would have no address while DNS is down. */
  override _resolveAndConnect(options: SMTPConnectionConnectOptions, connect: (resolved: object) => void): void {
    this.#resolve(options.host, options.timeout ?? 0).then(
      (addresses) => {
        const lookup: LookupFunction = (_host, _options, callback) => callback(null, [...addresses]);
        Object.assign(options, { lookup, autoSelectFamily: true });
        // Of one family, a slow address gets its share of the time, not the quarter second meant for a family that does not work.
        if (new Set(addresses.map(({ family }) => family)).size === 1) {
          const shareMs = Math.floor((this._connectionDeadline - Date.now()) / addresses.length);
          options.autoSelectFamilyAttemptTimeout = Math.max(shareMs, 10);
        }
        connect({});
      },
      (error) => this._onError(error, 'EDNS', false, 'CONN'),
    );
  }
}

/** The lookup goes on: getaddrinfo cannot be canceled. */
async function within<Result>(limitMs: number, host: string, lookedUp: Promise<Result>): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer about ${host} within ${limitMs / 1000} s`)), limitMs);
  try {
    return await Promise.race([lookedUp, late]);
  } finally {
    clearTimeout(timer);
  }
}
