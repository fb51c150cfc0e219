import { randomBytes, randomInt } from 'node:crypto';
import type { Socket } from 'node:net';
import type { SMTPServer } from 'smtp-server';
import { SMTPConnection, type SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import { isRelayClientName } from '../gmail/relay.ts';
import { closesConnection, type ReplyName, toWire } from '../gmail/replies.ts';
import type { Script } from '../gmail/scripted-recipients.ts';
import type { OpenTransaction } from '../message-log.ts';
import type { SimulatorState } from '../state.ts';
import { OFFERED_MECHANISMS } from './auth-extension.ts';
import { type RuleSubject, refusalAtData } from './reply-rules.ts';
import { toReplyName } from './wording.ts';

/**
 * Maximum message size in bytes: 25 MiB as base64 in lines of 76 columns with CRLF, plus 10 KiB.
 */
export const SIZE = 35_882_577;

/**
 * One connection. smtp-server implements the protocol; this class adds the replies and habits of
 * Gmail.
 */
export class GmailConnection extends SMTPConnection implements RuleSubject {
  readonly state: SimulatorState;
  transaction: OpenTransaction | null = null;
  /** The scripts of the recipients accepted so far. */
  scripts: Script[] = [];
  readonly #idPrefix = createIdPrefix();
  #address = '';
  #onReply: ((reply: string) => void) | null = null;

  constructor(
    state: SimulatorState,
    server: SMTPServer,
    socket: Socket,
    options: SMTPConnectionOptions | null | undefined,
  ) {
    super(server, socket, options);
    this.state = state;
  }

  /** The id in Gmail's replies, which is the same throughout a transaction. */
  get replyId(): string {
    return `${this.#idPrefix}.${this.session.transaction}`;
  }

  get isOpen(): boolean {
    return !this._socket.destroyed && this._socket.readyState === 'open';
  }

  /** Closes the connection without a reply. */
  drop(): void {
    this._socket.destroy();
  }

  /** Passes the next reply to `listener`, if it is sent. */
  onceReplied(listener: (reply: string) => void): void {
    this.#onReply = listener;
  }

  /**
   * Gmail sends its greeting at once. smtp-server would first wait 100 ms for clients that send too
   * early.
   */
  override init(): void {
    this._setListeners(() => this.connectionReady());
  }

  override _sendGreeting(): void {
    this.send(220, this.state.relay ? 'relayGreeting' : 'greeting');
  }

  /**
   * Sends every reply. Replaces replies of smtp-server, including their codes, with those of Gmail.
   */
  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    const name = typeof data === 'string' ? toReplyName(code, data, context) : null;
    if (name === null) {
      super.send(code, data, context);
      return;
    }
    // Before TLS, Gmail requires STARTTLS instead of a login.
    this.#write(name === 'authenticationRequired' && !this.secure ? 'starttlsFirst' : name);
    if (code === 421 || closesConnection(name)) this.close();
  }

  #write(name: ReplyName): void {
    const listener = this.#onReply;
    this.#onReply = null;
    // During the TLS handshake the socket is still the plain one, to which nothing must be written.
    if (this._upgrading || !this.isOpen) return;
    const reply = toWire(name, {
      id: this.replyId,
      address: this.#address,
      ip: this.remoteAddress,
    });
    listener?.(reply);
    this._socket.write(`${reply}\r\n`);
  }

  override handler_HELO(command: Buffer, callback: () => void): void {
    this.#replyToHello(command, [`${this.#host} at your service`], callback);
  }

  override handler_EHLO(command: Buffer, callback: () => void): void {
    const greeting = `${this.#host} at your service, [${this.remoteAddress}]`;
    const authOrStarttls = this.secure
      ? [`AUTH ${OFFERED_MECHANISMS}`]
      : this.#offersStarttls
        ? ['STARTTLS']
        : [];
    const extensions = [
      `SIZE ${SIZE}`,
      '8BITMIME',
      ...authOrStarttls,
      'ENHANCEDSTATUSCODES',
      'PIPELINING',
      'CHUNKING',
      'SMTPUTF8',
    ];
    this.#replyToHello(command, [greeting, ...extensions], callback);
  }

  override handler_STARTTLS(command: Buffer, callback: () => void): void {
    if (this.secure || this.#offersStarttls) {
      super.handler_STARTTLS(command, callback);
      return;
    }
    this.send(502, 'unrecognized');
    callback();
  }

  get #host(): string {
    return this.state.relay ? 'smtp-relay.gmail.com' : 'smtp.gmail.com';
  }

  get #offersStarttls(): boolean {
    return !this._server.options.hideSTARTTLS;
  }

  #replyToHello(command: Buffer, lines: string[], callback: () => void): void {
    const name = command.toString().trim().split(/\s+/)[1];
    if (name && this.state.relay && !isRelayClientName(name)) {
      this.send(421, 'relayEhloRefused');
    } else if (name) {
      this.hostNameAppearsAs = name.toLowerCase();
      this._resetSession();
      this.send(250, lines, false);
    } else {
      this.send(501, 'emptyHello');
      this.close();
    }
    callback();
  }

  /**
   * Supports quoted local parts (RFC 5321, section 4.1.2): smtp-server ignores the quotes and
   * refuses what they allow.
   */
  override _parseAddressCommand(
    name: string,
    command: Buffer | string,
  ): ReturnType<SMTPConnection['_parseAddressCommand']> {
    const text = command.toString();
    const quoted = /<("(?:[ !#-[\]-~]|\\[ -~])*")@/.exec(text)?.[1];
    if (quoted === undefined) return super._parseAddressCommand(name, command);
    const parsed = super._parseAddressCommand(
      name,
      text.replace(quoted, () => 'quoted'),
    );
    return parsed && { ...parsed, address: parsed.address.replace('quoted', () => quoted) };
  }

  override handler_MAIL(command: Buffer, callback: () => void): void {
    this.#address = addressIn(command);
    super.handler_MAIL(command, callback);
  }

  override handler_RCPT(command: Buffer, callback: () => void): void {
    this.#address = addressIn(command);
    super.handler_RCPT(command, callback);
  }

  override handler_DATA(command: Buffer, callback: () => void): void {
    const refusal = refusalAtData(this.state, this);
    if (refusal === null) {
      super.handler_DATA(command, callback);
      return;
    }
    this.send(550, refusal);
    this._resetSession();
    callback();
  }

  override _resetSession(): void {
    super._resetSession();
    this.transaction = null;
    this.scripts = [];
  }
}

/**
 * Creates the constant part of a reply id in Gmail's format:
 * `2adb3069b0e04-530bba1100asm1393398e87`.
 */
function createIdPrefix(): string {
  const hex = randomBytes(13).toString('hex');
  return `${hex.slice(0, 13)}-${hex.slice(13, 24)}sm${randomInt(1_000_000, 10_000_000)}${hex.slice(24)}`;
}

/**
 * Returns the address in the brackets of MAIL or RCPT, without control characters, for use in a
 * reply.
 */
function addressIn(command: Buffer): string {
  return (/<([^<>]*)>/.exec(command.toString())?.[1] ?? '').replace(/\p{Cc}/gu, ' ');
}
