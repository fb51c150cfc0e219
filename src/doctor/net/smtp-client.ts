import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Stage } from '../../adapters/smtp/errors/classify.ts';
import type { SmtpServer } from '../../config/smtp-url.ts';
import type { SmtpReply } from '../../core/delivery/delivery.ts';
import { parseReply } from '../../core/delivery/smtp-reply.ts';
import {
  createClosedError,
  type NetworkOptions,
  openTcp,
  openTls,
  type PresentedCertificate,
  readUntrustedCertificate,
  withTimeout,
} from './sockets.ts';

/** A 4yz or 5yz reply. */
export class SmtpReplyError extends Error {
  override readonly name = 'SmtpReplyError';
  readonly reply: SmtpReply;
  readonly stage: Stage;

  constructor(reply: SmtpReply, stage: Stage) {
    super(`${reply.code} ${reply.response}`);
    this.reply = reply;
    this.stage = stage;
  }
}

/**
 * One SMTP session, step by step. Each step rejects with an SmtpReplyError, or with the error of
 * the socket.
 */
export interface SmtpClient extends Disposable {
  readGreeting(): Promise<void>;
  /** Returns the extensions in capitals, such as `STARTTLS` and `AUTH PLAIN XOAUTH2`. */
  sendEhlo(name: string): Promise<string[]>;
  sendCommand(line: string, stage: Stage): Promise<SmtpReply>;
  /** Starts TLS: STARTTLS, unless TLS starts with the connection, and the handshake. */
  startTls(): Promise<TLSSocket>;
  /** Used instead of `startTls` after that has failed: see `readUntrustedCertificate`. */
  readCertificate(): Promise<PresentedCertificate>;
}

const REPLY = /^(?:\d{3}-[^\n]*\n)*(?!\d{3}-)[^\n]*\n/;
const MAX_UNREAD = 65_536;

export async function openSmtpClient(
  server: SmtpServer,
  address: string,
  network: NetworkOptions,
): Promise<SmtpClient> {
  let socket = await openTcp(address, server.port, network.limitMs);
  let reader = createReplyReader(socket);

  async function readReply(
    stage: Stage,
    timeoutType: 'GREETING_TIMEOUT' | 'SOCKET_TIMEOUT',
    what: string,
  ): Promise<string> {
    const text = await withTimeout(network.limitMs, timeoutType, `no ${what}`, reader.read());
    const reply = parseReply(text);
    if (reply.code === 0) throw createProtocolError(text);
    if (reply.code >= 400) throw new SmtpReplyError(reply, stage);
    return text;
  }

  async function send(line: string, stage: Stage): Promise<string> {
    socket.write(`${line}\r\n`);
    return readReply(stage, 'SOCKET_TIMEOUT', 'reply');
  }

  async function beginTls(): Promise<void> {
    if (server.tls === 'starttls') await send('STARTTLS', 'starttls');
    const unread = reader.stop();
    // An attacker in between could inject plain text here that would be read as part of the
    // encrypted session.
    if (server.tls === 'starttls' && unread !== '') throw createProtocolError(unread);
  }

  return {
    async readGreeting() {
      await readReply('session', 'GREETING_TIMEOUT', 'greeting');
    },
    async sendEhlo(name) {
      const lines = (await send(`EHLO ${name}`, 'session')).split('\n').slice(1);
      return lines.map((line) => line.slice(4).trim().toUpperCase()).filter(Boolean);
    },
    async sendCommand(line, stage) {
      return parseReply(await send(line, stage));
    },
    async startTls() {
      await beginTls();
      const tlsSocket = await openTls(
        socket,
        server.host,
        server.tls === 'starttls' ? 'UPGRADE_TIMEOUT' : 'CONNECT_TIMEOUT',
        network,
      );
      socket = tlsSocket;
      reader = createReplyReader(socket);
      return tlsSocket;
    },
    async readCertificate() {
      await beginTls();
      return readUntrustedCertificate(socket, server.host, network);
    },
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** In nodemailer's form. */
function createProtocolError(response: string): Error {
  return Object.assign(new Error('not a reply'), { code: 'EPROTOCOL', response });
}

/** Splits the received data into replies, whose lines are joined by LF. */
function createReplyReader(socket: Socket) {
  let unread = '';
  let ended: Error | null = null;
  let wake = () => {};
  const onData = (chunk: Buffer) => {
    unread = (unread + chunk.toString('utf8')).slice(0, MAX_UNREAD);
    wake();
  };
  const onEnd = (error: Error) => {
    ended ??= error;
    wake();
  };
  socket.on('data', onData);
  socket.on('error', onEnd);
  socket.on('close', () => onEnd(createClosedError()));

  return {
    async read(): Promise<string> {
      for (;;) {
        const [reply] = REPLY.exec(unread) ?? [];
        if (reply !== undefined || unread.length === MAX_UNREAD) {
          unread = unread.slice(reply?.length ?? MAX_UNREAD);
          return (reply ?? '').trimEnd().replaceAll('\r', '');
        }
        if (ended) throw ended;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    /** Stops reading, and returns the text that was not read. */
    stop(): string {
      socket.off('data', onData);
      socket.pause();
      return unread;
    },
  };
}
