import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Stage } from '../../adapters/smtp/errors/classify.ts';
import { parseReply } from '../../adapters/smtp/errors/reply-parser.ts';
import type { SmtpServer } from '../../config/smtp-url.ts';
import type { SmtpReply } from '../../core/delivery/delivery.ts';
import { dial, encrypt, hungUp, lookAt, type PresentedCertificate, type Wire, within } from './sockets.ts';

/** The server answered with 4yz or 5yz. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly reply: SmtpReply;
  readonly stage: Stage;

  constructor(reply: SmtpReply, stage: Stage) {
    super(`${reply.code} ${reply.response}`);
    this.reply = reply;
    this.stage = stage;
  }
}

/** One SMTP session, step by step. Each step rejects with a Refusal, or with what the socket says. */
export interface Dialogue extends Disposable {
  greeting(): Promise<void>;
  /** Resolves to the capabilities, in capitals: `STARTTLS`, `AUTH PLAIN XOAUTH2`. */
  ehlo(name: string): Promise<string[]>;
  say(line: string, stage: Stage): Promise<SmtpReply>;
  /** STARTTLS, if the connection is not encrypted from its first byte, and the handshake. */
  encrypt(): Promise<TLSSocket>;
  /** In place of `encrypt`, where that failed: see `lookAt`. */
  look(): Promise<PresentedCertificate>;
}

const REPLY = /^(?:\d{3}-[^\n]*\n)*(?!\d{3}-)[^\n]*\n/;
const MAX_UNREAD = 65_536;

export async function openDialogue(server: SmtpServer, address: string, wire: Wire): Promise<Dialogue> {
  let socket = await dial(address, server.port, wire.limitMs);
  let reader = createReader(socket);

  async function read(
    stage: Stage,
    waited: 'GREETING_TIMEOUT' | 'SOCKET_TIMEOUT',
    what: string,
  ): Promise<string> {
    const text = await within(wire.limitMs, waited, `no ${what}`, reader.read());
    const reply = parseReply(text);
    if (reply.code === 0) throw notSmtp(text);
    if (reply.code >= 400) throw new Refusal(reply, stage);
    return text;
  }

  async function ask(line: string, stage: Stage): Promise<string> {
    socket.write(`${line}\r\n`);
    return read(stage, 'SOCKET_TIMEOUT', 'answer');
  }

  async function startTls(): Promise<void> {
    if (server.tls === 'starttls') await ask('STARTTLS', 'starttls');
    const rest = reader.stop();
    // Whoever is in between could have put it there, to be taken for part of the encrypted session.
    if (server.tls === 'starttls' && rest !== '') throw notSmtp(rest);
  }

  return {
    async greeting() {
      await read('session', 'GREETING_TIMEOUT', 'greeting');
    },
    async ehlo(name) {
      const lines = (await ask(`EHLO ${name}`, 'session')).split('\n').slice(1);
      return lines.map((line) => line.slice(4).trim().toUpperCase()).filter(Boolean);
    },
    async say(line, stage) {
      return parseReply(await ask(line, stage));
    },
    async encrypt() {
      await startTls();
      const encrypted = await encrypt(
        socket,
        server.host,
        server.tls === 'starttls' ? 'UPGRADE_TIMEOUT' : 'CONNECT_TIMEOUT',
        wire,
      );
      socket = encrypted;
      reader = createReader(socket);
      return encrypted;
    },
    async look() {
      await startTls();
      return lookAt(socket, server.host, wire);
    },
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** In nodemailer's terms. */
function notSmtp(said: string): Error {
  return Object.assign(new Error('not a reply'), { code: 'EPROTOCOL', response: said });
}

/** Cuts what arrives into replies, their lines joined by LF. */
function createReader(socket: Socket) {
  let unread = '';
  let ended: Error | null = null;
  let wake = () => {};
  const take = (chunk: Buffer) => {
    unread = (unread + chunk.toString('utf8')).slice(0, MAX_UNREAD);
    wake();
  };
  const end = (error: Error) => {
    ended ??= error;
    wake();
  };
  socket.on('data', take);
  socket.on('error', end);
  socket.on('close', () => end(hungUp()));

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
    /** Stops reading, and gives back what was not read. */
    stop(): string {
      socket.off('data', take);
      socket.pause();
      return unread;
    },
  };
}
