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
  /** Whether the server has sent the start of a reply that no command waits for. */
  readonly hasUnexpected: boolean;
  /** Begins an exchange. `onFailure` is called if the session ends before `endExchange`. */
  beginExchange(onFailure: (error: SessionError) => void): void;
  endExchange(): void;
  /**
   * Expects a reply: to the next command written, or to a message. Ends the session if the server has
   * sent more than the replies expected so far: no reply can come before its command.
   *
   * @param validCodes codes below 400 that are valid replies
   */
  expect(validCodes: readonly number[], onReply: (reply: RawReply) => void, isMessage?: boolean): void;
  /** Does nothing once the session has ended. */
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
  let onWritten: (() => void) | null = null;

  function fail(error: SessionError) {
    if (failure) return;
    failure = error;
    pending = [];
    closeSocket();
    onWritten?.();
    onFailure?.(error);
  }

  /** Unread bytes of the server would make the system reset the connection: they are read. */
  function closeSocket() {
    socket.end();
    const timer = setTimeout(() => socket.destroy(), CLOSE_TIMEOUT_MS).unref();
    socket.once('close', () => clearTimeout(timer));
  }

  function expect(validCodes: readonly number[], onReply: PendingCommand['onReply'], isMessage = false) {
    if (pending.length === 0 && reader.hasMore)
      return fail(new SessionError('EPROTOCOL', 'A reply came before its command'));
    isWriting = isMessage;
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
    if (code < 400 && (!command.validCodes.includes(code) || isEarly)) {
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
    reader.end();
    fail(new SessionError('ECONNECTION', 'Connection closed'));
  }

  if (socket.destroyed) handleEnd();
  socket.on('data', (chunk: Buffer) => reader.push(chunk));
  socket.once('end', handleEnd);
  socket.once('close', handleEnd);
  socket.on('error', (error: NodeJS.ErrnoException) => {
    fail(new SessionError('ESOCKET', error.message, { originalCode: error.code ?? '' }));
  });

  /**
   * Writes the message and the final dot, with a turn of the event loop before each slice: what the
   * server has sent behind its 354, or its closing, is read before the dot is written. A message of
   * one slice and its dot are one write. The dot of a longer one follows when the system has taken
   * the message. So a connection that breaks before is not uncertain.
   */
  async function writeMessage(slices: Iterable<Buffer>, onEnd: () => void): Promise<void> {
    let last: Buffer | null = null;
    let startsLine = true;
    let isLong = false;
    for (const slice of slices) {
      if (last) {
        isLong = true;
        await written(last);
      }
      await nextTurn();
      if (failure) return;
      last = doubleDots(slice, startsLine);
      startsLine = slice.at(-1) === LF;
    }
    if (isLong && last) {
      await written(last);
      if (failure) return;
      last = null;
    }
    isWriting = false;
    onEnd();
    socket.write(last ? Buffer.concat([last, FINAL_DOT]) : FINAL_DOT);
  }

  /** Writes a slice. Resolves when the system has taken it, or the session has ended. */
  async function written(slice: Buffer): Promise<void> {
    await new Promise<void>((resolve) => {
      onWritten = resolve;
      socket.write(slice, () => resolve());
    });
    onWritten = null;
  }

  return {
    get failure() {
      return failure;
    },
    get hasUnexpected() {
      return pending.length === 0 && reader.hasMore;
    },
    beginExchange(handler) {
      onFailure = handler;
    },
    endExchange() {
      onFailure = null;
    },
    expect,
    write(commands) {
      if (!failure) socket.write(commands);
    },
    writeMessage,
    fail,
    quit() {
      if (failure) return;
      socket.write('QUIT\r\n');
      fail(new SessionError('ECONNECTION', 'Connection closed'));
    },
  };
}

/** Doubles each dot that starts a line (RFC 5321, section 4.5.2). */
function doubleDots(slice: Buffer, startsLine: boolean): Buffer {
  const isFirst = startsLine && slice[0] === 0x2e;
  if (!isFirst && !slice.includes('\n.')) return slice;
  return Buffer.from((isFirst ? '.' : '') + slice.toString('latin1').replaceAll('\n.', '\n..'), 'latin1');
}
