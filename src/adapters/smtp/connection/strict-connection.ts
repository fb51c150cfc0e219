import type { LookupFunction, Socket } from 'node:net';
import SMTPConnection, { type SMTPConnectionConnectOptions } from 'nodemailer/lib/smtp-connection';
import type { Resolve } from '../../mail-server/resolve.ts';
import type { toConnectionOptions } from '../server-options.ts';
import { SessionError } from './command-channel.ts';

/**
 * Private members of nodemailer's connection that {@link StrictConnection} uses. Nodemailer's
 * version is pinned for them.
 */
interface Internals {
  /**
   * Replies not yet handled, oldest first, their lines joined by LF. The last one may be
   * incomplete.
   */
  readonly _responseQueue: readonly string[];
  /** An incomplete line. */
  readonly _remainder: string;
  readonly _socket: Socket;
  readonly _supportedExtensions: readonly string[];
  readonly _onSocketData: (chunk: Buffer) => void;
  readonly _onSocketError: (error: Error) => void;
  readonly _onSocketClose: () => void;
  readonly _onSocketEnd: () => void;
  readonly _onSocketTimeout: () => void;
  /** Deadline for connecting, as epoch ms. */
  readonly _connectionDeadline: number;
  _resolveAndConnect(options: SMTPConnectionConnectOptions, connect: (resolved: object) => void): void;
  _sendCommand(line: string, logged?: string): void;
  _processResponse(): void;
  _onError(error: Error, code: string, response: false, command: string): void;
}

const Connection = SMTPConnection as unknown as new (
  options: ReturnType<typeof toConnectionOptions>,
) => SMTPConnection & Internals;

/** A command that has no reply yet. */
interface PendingCommand {
  readonly command: string;
  /** The codes below 400 that are valid replies (RFC 5321, 4.3.2; RFC 3207; RFC 4954). */
  readonly validCodes: readonly number[];
}

const GREETING: PendingCommand = { command: 'the connection', validCodes: [220] };
const VALID_CODES: Readonly<Record<string, readonly number[]>> = {
  STARTTLS: [220],
  AUTH: [235, 334],
  // The empty line after a challenge.
  '': [235],
};
const DEFAULT_CODES = [250];

const REPLY_LINE = /^([2-5]\d\d)(?:[ -]|$)/;
const CONTINUATION_LINE = /^\d+-/;

/**
 * Nodemailer's connection with strict checks of replies, resolving names as the operating system
 * does.
 *
 * Nodemailer treats any 2yz or 3yz reply as success. Here, a reply that is not valid for its
 * command ends the session with EPROTOCOL before anything else is written. Transactions run on the
 * socket, after {@link StrictConnection.detach}.
 */
export class StrictConnection extends Connection {
  readonly #pending: PendingCommand[] = [GREETING];
  readonly #resolve: (host: string, limitMs: number) => ReturnType<Resolve>;

  constructor(options: ReturnType<typeof toConnectionOptions>, resolve: Resolve) {
    super(options);
    this.#resolve = (host, limitMs) => withTimeout(limitMs, host, resolve(host));
  }

  /**
   * Nodemailer would query DNS directly: while DNS is down, hosts in /etc/hosts would have no
   * address.
   */
  override _resolveAndConnect(
    options: SMTPConnectionConnectOptions,
    connect: (resolved: object) => void,
  ): void {
    this.#resolve(options.host, options.timeout ?? 0).then(
      (addresses) => {
        const lookup: LookupFunction = (_host, _options, callback) => callback(null, [...addresses]);
        Object.assign(options, { lookup, autoSelectFamily: true });
        // Node's default of 250 ms per address is meant for a broken family. With a single family,
        // each address gets an equal share of the time that is left.
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
    this.#pending.push({ command: command || 'AUTH', validCodes: VALID_CODES[command] ?? DEFAULT_CODES });
    super._sendCommand(line, logged);
  }

  /**
   * Returns the socket and the extensions of the server. From now on this object neither reads the
   * socket nor closes it.
   *
   * @throws SessionError if the server has sent more than its replies: a transaction would take it
   *   for the reply to its first command
   */
  detach(): [socket: Socket, extensions: readonly string[]] {
    const { _socket: socket, _supportedExtensions: extensions } = this;
    const unread = [...this._responseQueue, this._remainder].join('\n').trim();
    if (unread !== '')
      throw new SessionError('EPROTOCOL', `Unexpected reply: ${unread}`, { response: unread });
    socket.off('data', this._onSocketData);
    socket.off('error', this._onSocketError);
    socket.off('close', this._onSocketClose);
    socket.off('end', this._onSocketEnd);
    socket.off('timeout', this._onSocketTimeout);
    socket.setTimeout(0);
    return [socket, extensions];
  }

  override _processResponse(): void {
    const [reply = ''] = this._responseQueue;
    const lines = reply.split('\n');
    // Nodemailer waits for the rest of an incomplete reply, and skips empty lines.
    const isComplete = reply.trim() !== '' && !CONTINUATION_LINE.test(lines.at(-1) ?? '');
    const answeredCommand = isComplete ? this.#pending.shift() : undefined;
    if (answeredCommand && !this.#isValidReply(answeredCommand, lines)) {
      this._onError(
        new Error(`Invalid reply to ${answeredCommand.command}: ${reply}`),
        'EPROTOCOL',
        false,
        'CONN',
      );
      return;
    }
    super._processResponse();
  }

  #isValidReply({ validCodes }: PendingCommand, lines: readonly string[]): boolean {
    const [code, ...otherCodes] = new Set(lines.map((line) => REPLY_LINE.exec(line)?.[1]));
    if (code === undefined || otherCodes.length > 0) return false;
    if (Number(code) >= 400) return true;
    return validCodes.includes(Number(code));
  }
}

/** Rejects after `limitMs`. The lookup continues: getaddrinfo cannot be canceled. */
async function withTimeout<Result>(limitMs: number, host: string, lookup: Promise<Result>): Promise<Result> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`no response for ${host} within ${limitMs / 1000} s`)),
    limitMs,
  );
  try {
    return await Promise.race([lookup, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
