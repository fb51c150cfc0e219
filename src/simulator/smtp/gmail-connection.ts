import { randomBytes, randomInt } from 'node:crypto';
import type { Socket } from 'node:net';
import type { SMTPServer } from 'smtp-server';
import { SMTPConnection, type SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import type { OpenTransaction } from '../message-log.ts';
import type { SimulatorState } from '../state.ts';
import { endsSession, type ReplyName, toWire } from './replies.ts';
import { refusalAtData } from './reply-rules.ts';
import type { Script } from './scripted-recipients.ts';
import { toReplyName } from './wording.ts';

/** 25 MiB in base64 lines of 76 columns and CRLF, and 10 KiB. */
export const SIZE = 35_882_577;

const MECHANISMS = 'LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH';

/** What `session.user` is. */
export interface Login {
  readonly username: string;
  readonly method: string;
  /** What it logged in with, if that may end: then the session ends, too. */
  readonly token: string | null;
}

/** One session. smtp-server knows the protocol; what is here makes it sound like Gmail. */
export class GmailConnection extends SMTPConnection {
  readonly state: SimulatorState;
  transaction: OpenTransaction | null = null;
  /** Those of the recipients accepted so far. */
  scripts: Script[] = [];
  readonly #stem = createStem();
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

  /** The id Gmail puts in its replies: the same from the first command of a transaction to the last. */
  get replyId(): string {
    return `${this.#stem}.${this.session.transaction}`;
  }

  get isOpen(): boolean {
    return !this._socket.destroyed && this._socket.readyState === 'open';
  }

  /** Cuts the connection without a word. */
  drop(): void {
    this._socket.destroy();
  }

  /** Hands the very next reply to `listener`, if it goes out. */
  onceReplied(listener: (reply: string) => void): void {
    this.#onReply = listener;
  }

  /** Gmail greets at once; smtp-server would first wait 100 ms for clients that talk too soon. */
  override init(): void {
    this._setListeners(() => this.connectionReady());
  }

  override _sendGreeting(): void {
    this.send(220, 'greeting');
  }

  /** Every reply goes through here. Those of smtp-server's that Gmail words otherwise are replaced whole, code and all. */
  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    const name = typeof data === 'string' ? toReplyName(code, data, context) : null;
    if (name === null) {
      super.send(code, data, context);
      return;
    }
    // Before TLS there is nothing to log in to: Gmail asks for that first.
    this.#write(name === 'authenticationRequired' && !this.secure ? 'starttlsFirst' : name);
    if (code === 421 || endsSession(name)) this.close();
  }

  #write(name: ReplyName): void {
    const listener = this.#onReply;
    this.#onReply = null;
    // While TLS is being set up the socket is still the bare one, on which not a word may be said.
    if (this._upgrading || !this.isOpen) return;
    const reply = toWire(name, { id: this.replyId, address: this.#address });
    listener?.(reply);
    this._socket.write(`${reply}\r\n`);
  }

  override handler_HELO(command: Buffer, callback: () => void): void {
    this.#hello(command, ['smtp.gmail.com at your service'], callback);
  }

  override handler_EHLO(command: Buffer, callback: () => void): void {
    const greeting = `smtp.gmail.com at your service, [${this.remoteAddress}]`;
    const door = this.secure ? [`AUTH ${MECHANISMS}`] : this.#offersStarttls ? ['STARTTLS'] : [];
    const extensions = [
      `SIZE ${SIZE}`,
      '8BITMIME',
      ...door,
      'ENHANCEDSTATUSCODES',
      'PIPELINING',
      'CHUNKING',
      'SMTPUTF8',
    ];
    this.#hello(command, [greeting, ...extensions], callback);
  }

  override handler_STARTTLS(command: Buffer, callback: () => void): void {
    if (this.secure || this.#offersStarttls) {
      super.handler_STARTTLS(command, callback);
      return;
    }
    this.send(502, 'unrecognized');
    callback();
  }

  get #offersStarttls(): boolean {
    return !this._server.options.hideSTARTTLS;
  }

  #hello(command: Buffer, lines: string[], callback: () => void): void {
    const name = command.toString().trim().split(/\s+/)[1];
    if (name) {
      this.hostNameAppearsAs = name.toLowerCase();
      this._resetSession();
      this.send(250, lines, false);
    } else {
      this.send(501, 'emptyHello');
      this.close();
    }
    callback();
  }

  /** smtp-server reads a quoted local part (RFC 5321, section 4.1.2) as if it had no quotes, and refuses what only they allow. */
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

/** Looks like Gmail's own: `2adb3069b0e04-530bba1100asm1393398e87`. */
function createStem(): string {
  const hex = randomBytes(13).toString('hex');
  return `${hex.slice(0, 13)}-${hex.slice(13, 24)}sm${randomInt(1_000_000, 10_000_000)}${hex.slice(24)}`;
}

/** What stands between the brackets of MAIL and RCPT, safe to repeat in a reply. */
function addressIn(command: Buffer): string {
  return (/<([^<>]*)>/.exec(command.toString())?.[1] ?? '').replace(/\p{Cc}/gu, ' ');
}
