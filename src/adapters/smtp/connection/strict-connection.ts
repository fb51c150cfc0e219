import type { LookupFunction } from 'node:net';
import SMTPConnection, { type SMTPConnectionConnectOptions } from 'nodemailer/lib/smtp-connection';
import type { toConnectionOptions } from '../server-options.ts';
import type { Resolve } from './resolve.ts';

/** What {@link StrictConnection} uses of nodemailer's connection beyond its declared interface. The version of nodemailer is pinned for it. */
interface Internals {
  /** Complete replies not yet handled, oldest first, their lines joined by LF. The last one may lack lines. */
  readonly _responseQueue: readonly string[];
  /** The beginning of a line. */
  readonly _remainder: string;
  /** Set from 354 until the final dot is written. */
  readonly _currentDataStream: unknown;
  /** When connecting must have ended, as epoch ms. */
  readonly _connectionDeadline: number;
  _resolveAndConnect(options: SMTPConnectionConnectOptions, connect: (resolved: object) => void): void;
  _sendCommand(line: string, logged?: string): void;
  _createSendStream(callback: unknown): unknown;
  _processResponse(): void;
  _onError(error: Error, code: string, response: false, command: string): void;
}

const Connection = SMTPConnection as unknown as new (
  options: ReturnType<typeof toConnectionOptions>,
) => SMTPConnection & Internals;

/** A command that awaits its reply. */
interface Outstanding {
  readonly command: string;
  /** The codes below 400 that may answer it (RFC 5321, 4.3.2; RFC 3207; RFC 4954). */
  readonly codes: readonly number[];
}

const GREETING: Outstanding = { command: 'The connection', codes: [220] };
const MESSAGE: Outstanding = { command: 'The message', codes: [250] };
const CODES: Readonly<Record<string, readonly number[]>> = {
  STARTTLS: [220],
  AUTH: [235, 334],
  // The empty line after a challenge
  '': [235],
  RCPT: [250, 251, 252],
  DATA: [354],
  QUIT: [221],
};
const OTHERS = [250];

const REPLY_LINE = /^([2-5]\d\d)(?:[ -]|$)/;
const CONTINUED = /^\d+-/;

/**
 * Nodemailer's connection, which believes no reply but the right one, and resolves names as the operating system does.
 *
 * Nodemailer takes any 2yz or 3yz for consent. If DATA is answered with 250, a server reads the text of the message as commands, and sends mail to
 * whomever they name. Here a reply that cannot answer its command ends the session with EPROTOCOL, before anything else is written.
 */
export class StrictConnection extends Connection {
  readonly #outstanding: Outstanding[] = [GREETING];
  readonly #resolve: (host: string, limitMs: number) => ReturnType<Resolve>;

  constructor(options: ReturnType<typeof toConnectionOptions>, resolve: Resolve) {
    super(options);
    this.#resolve = (host, limitMs) => within(limitMs, host, resolve(host));
  }

  /** Nodemailer would ask DNS itself: what only /etc/hosts knows would have no address while DNS is down. */
  override _resolveAndConnect(
    options: SMTPConnectionConnectOptions,
    connect: (resolved: object) => void,
  ): void {
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

  override _sendCommand(line: string, logged?: string): void {
    const [command = ''] = line.split(' ', 1);
    this.#outstanding.push({ command: command || 'AUTH', codes: CODES[command] ?? OTHERS });
    super._sendCommand(line, logged);
  }

  override _createSendStream(callback: unknown): unknown {
    this.#outstanding.push(MESSAGE);
    return super._createSendStream(callback);
  }

  override _processResponse(): void {
    const [reply = ''] = this._responseQueue;
    const lines = reply.split('\n');
    // Nodemailer waits for the rest of a reply, and passes over an empty line.
    const isComplete = reply.trim() !== '' && !CONTINUED.test(lines.at(-1) ?? '');
    const answered = isComplete ? this.#outstanding.shift() : undefined;
    if (answered && !this.#mayAnswer(answered, lines)) {
      this._onError(new Error(`${answered.command} was answered with ${reply}`), 'EPROTOCOL', false, 'CONN');
      return;
    }
    const isEarly = answered === MESSAGE && this.#isWriting;
    super._processResponse();
    // Refused before its end: nothing more of the message is written.
    if (isEarly) this.close();
  }

  get #isWriting(): boolean {
    return Boolean(this._currentDataStream);
  }

  #mayAnswer({ command, codes }: Outstanding, lines: readonly string[]): boolean {
    const [code, ...others] = new Set(lines.map((line) => REPLY_LINE.exec(line)?.[1]));
    if (code === undefined || others.length > 0) return false;
    if (Number(code) >= 400) return true;
    // A reply that is there before the message is cannot be about it.
    if (command === 'DATA' && (this._responseQueue.length > 1 || this._remainder !== '')) return false;
    return codes.includes(Number(code)) && !this.#isWriting;
  }
}

/** The lookup goes on: getaddrinfo cannot be canceled. */
async function within<Result>(limitMs: number, host: string, lookedUp: Promise<Result>): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`no answer about ${host} within ${limitMs / 1000} s`)),
    limitMs,
  );
  try {
    return await Promise.race([lookedUp, late]);
  } finally {
    clearTimeout(timer);
  }
}
