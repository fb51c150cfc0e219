import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createReplyReader, type RawReply } from './reply-reader.ts';

/** Why a session ended. Its properties are named as in nodemailer's errors. */
export class SessionError extends Error {
  override readonly name = 'SessionError';
  readonly code: 'ECONNECTION' | 'EPROTOCOL' | 'EABORT' | 'ESOCKET';
  /** Code of the system or of TLS; empty if there is none. */
  readonly originalCode: string;
  /** The reply with which the server ended the session; empty if there is none. */
  readonly response: string;

  constructor(code: SessionError['code'], message: string, { originalCode = '', response = '' } = {}) {
    super(message);
    this.code = code;
    this.originalCode = originalCode;
    this.response = response;
  }
}

/**
 * Writes commands and messages to a server, and passes each reply to the command it belongs to.
 *
 * A reply must be valid for its command: only 354 releases a message, and a positive reply before
 * the final dot ends the session.
 */
export interface CommandChannel {
  /** Why the session ended; null while it is open. */
  readonly failure: SessionError | null;
  /** Begins an exchange. `onFailure` is called if the session ends before `endExchange`. */
  beginExchange(onFailure: (error: SessionError) => void): void;
  endExchange(): void;
  /**
   * Expects a reply: to the next command written, or to a message.
   *
   * @param validCodes codes below 400 that are valid replies
   */
  expect(validCodes: readonly number[], onReply: (reply: RawReply) => void, isMessage?: boolean): void;
  write(commands: string | Buffer): void;
  /** @param onEnd called right before the final dot is written */
  writeMessage(slices: Iterable<Buffer>, onEnd: () => void): Promise<void>;
  /** Ends the session. */
  fail(error: SessionError): void;
  /** Sends QUIT and closes the socket. */
  quit(): void;
}

interface PendingCommand {
  /** The codes below 400 that are valid replies. */
  readonly validCodes: readonly number[];
  readonly onReply: (reply: RawReply) => void;
  readonly isMessage: boolean;
}

/** How long a server may take to close its side, in ms. */
const CLOSE_TIMEOUT_MS = 2000;
const LF = 0x0a;
export const FINAL_DOT = Buffer.from('.\r\n');

export function createCommandChannel(socket: Socket): CommandChannel {
  let pending: PendingCommand[] = [];
  let failure: SessionError | null = null;
  /** Ends the exchange that runs. */
  let onFailure: ((error: SessionError) => void) | null = null;
  let isWriting = false;
  let onDrain: (() => void) | null = null;

  function fail(error: SessionError) {
    if (failure) return;
    failure = error;
    pending = [];
    closeSocket();
    onDrain?.();
    onFailure?.(error);
  }

  /** Unread bytes of the server would make the system reset the connection: they are read. */
  function closeSocket() {
    socket.end();
    const timer = setTimeout(() => socket.destroy(), CLOSE_TIMEOUT_MS).unref();
    socket.once('close', () => clearTimeout(timer));
  }

  function expect(validCodes: readonly number[], onReply: PendingCommand['onReply'], isMessage = false) {
    pending.push({ validCodes, onReply, isMessage });
  }

  function handleReply(reply: RawReply) {
    const { code, text } = reply;
    const command = pending.shift();
    if (command === undefined) {
      const response = code >= 400 ? text : '';
      return fail(
        new SessionError(code === 421 ? 'ECONNECTION' : 'EPROTOCOL', `Unexpected reply: ${text}`, {
          response,
        }),
      );
    }
    const isEarly = command.isMessage && isWriting;
    // A reply that arrives before the message was sent cannot be about it.
    const isFollowed = code === 354 && (reader.hasMore || pending.length > 0);
    if (code < 400 && (!command.validCodes.includes(code) || isEarly || isFollowed)) {
      return fail(new SessionError('EPROTOCOL', `Invalid reply: ${text}`));
    }
    command.onReply(reply);
    // The rest of a message that was refused before its end must not be written.
    if (code === 421 || isEarly)
      fail(new SessionError('ECONNECTION', 'Connection closed', { response: text }));
  }

  const reader = createReplyReader((event) => {
    if (failure) return;
    if (event.kind === 'reply') handleReply(event.reply);
    else fail(new SessionError('EPROTOCOL', `Invalid reply: ${event.text}`));
  });

  function handleEnd() {
    const response = /^[45]\d\d[ -]/.test(reader.incomplete) ? reader.incomplete : '';
    fail(new SessionError('ECONNECTION', 'Connection closed', { response }));
  }

  if (socket.destroyed) handleEnd();
  socket.on('data', (chunk: Buffer) => reader.push(chunk));
  socket.on('drain', () => onDrain?.());
  socket.once('end', handleEnd);
  socket.once('close', handleEnd);
  socket.on('error', (error: NodeJS.ErrnoException) => {
    fail(new SessionError('ESOCKET', error.message, { originalCode: error.code ?? '' }));
  });

  /**
   * Writes the message and the final dot, with a turn of the event loop between two slices. A
   * message of one slice and its dot are one write. The dot of a longer one follows when the socket
   * has taken the message, so that a connection that breaks before is not uncertain.
   */
  async function writeMessage(slices: Iterable<Buffer>, onEnd: () => void): Promise<void> {
    isWriting = true;
    let last: Buffer | null = null;
    let startsLine = true;
    let isLong = false;
    for (const slice of slices) {
      if (last) {
        isLong = true;
        await writeSlice(last);
        await nextTurn();
        if (failure) return;
      }
      last = doubleDots(slice, startsLine);
      startsLine = slice.at(-1) === LF;
    }
    if (isLong && last) {
      await writeSlice(last);
      if (failure) return;
      last = null;
    }
    isWriting = false;
    onEnd();
    socket.write(last ? Buffer.concat([last, FINAL_DOT]) : FINAL_DOT);
  }

  async function writeSlice(slice: Buffer): Promise<void> {
    if (socket.write(slice) || failure) return;
    await new Promise<void>((resolve) => {
      onDrain = resolve;
    });
    onDrain = null;
  }

  return {
    get failure() {
      return failure;
    },
    beginExchange(handler) {
      onFailure = handler;
    },
    endExchange() {
      onFailure = null;
    },
    expect,
    write: (commands) => void socket.write(commands),
    writeMessage,
    fail,
    quit() {
      if (failure) return;
      failure = new SessionError('ECONNECTION', 'Connection closed');
      socket.end('QUIT\r\n');
    },
  };
}

/** Doubles each dot that starts a line (RFC 5321, section 4.5.2). */
function doubleDots(slice: Buffer, startsLine: boolean): Buffer {
  const isFirst = startsLine && slice[0] === 0x2e;
  if (!isFirst && !slice.includes('\n.')) return slice;
  return Buffer.from((isFirst ? '.' : '') + slice.toString('latin1').replaceAll('\n.', '\n..'), 'latin1');
}
