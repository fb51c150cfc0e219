import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createReplyReader, type RawReply } from './reply-reader.ts';

/** The envelope of a transaction. Addresses are in the form of RFC 5321, without angle brackets. */
export interface TransactionEnvelope {
  readonly from: string;
  readonly to: readonly string[];
  /** Requests SMTPUTF8 (RFC 6531) if the server offers it. */
  readonly needsSmtpUtf8: boolean;
}

/** The command that a reply refers to; `message` is the final dot. */
export type TransactionStage = 'mail' | 'rcpt' | 'data' | 'message';

/** How a transaction ended. `refused` lists the recipients refused at RCPT. */
export type TransactionResult = { readonly refused: readonly RefusedRecipient[] } & (
  | { readonly kind: 'accepted'; readonly reply: RawReply }
  /** The session can be used again after RSET. */
  | { readonly kind: 'refused'; readonly stage: TransactionStage; readonly reply: RawReply }
  /** The session is closed. */
  | { readonly kind: 'broken'; readonly error: SessionError }
);

export interface RefusedRecipient {
  /** Index in `to` of the envelope. */
  readonly index: number;
  readonly reply: RawReply;
}

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

/** Reports the progress of a transaction. */
export interface TransactionObserver {
  /** The server asked for the message (354). */
  bodyStarted(): void;
  /** The final dot is written now: from here on the server may accept the message. */
  bodyEnded(): void;
}

/**
 * Runs transactions on a socket that is connected, encrypted and logged in (RFC 5321, section 3.3),
 * one at a time. Commands are pipelined if the server offers it (RFC 2920).
 *
 * A reply must be valid for its command: only 354 releases the message, and a positive reply before
 * the final dot ends the session.
 */
export interface TransactionClient {
  readonly isOpen: boolean;
  /** Never rejects. */
  send(
    envelope: TransactionEnvelope,
    slices: Iterable<Buffer>,
    observer: TransactionObserver,
  ): Promise<TransactionResult>;
  /** Sends RSET. Rejects with a SessionError. */
  reset(): Promise<void>;
  /** Sends QUIT and closes the socket. */
  quit(): void;
  /** Closes the socket. A running transaction ends with this error. */
  close(error?: SessionError): void;
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
const FINAL_DOT = Buffer.from('.\r\n');

/** @param extensions keywords of the server's reply to EHLO */
export function createTransactionClient(socket: Socket, extensions: readonly string[]): TransactionClient {
  const isPipelined = extensions.includes('PIPELINING');
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
  async function writeMessage(slices: Iterable<Buffer>, observer: TransactionObserver): Promise<void> {
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
    observer.bodyEnded();
    socket.write(last ? Buffer.concat([last, FINAL_DOT]) : FINAL_DOT);
  }

  async function writeSlice(slice: Buffer): Promise<void> {
    if (socket.write(slice) || failure) return;
    await new Promise<void>((resolve) => {
      onDrain = resolve;
    });
    onDrain = null;
  }

  function transact(
    envelope: TransactionEnvelope,
    slices: Iterable<Buffer>,
    observer: TransactionObserver,
    resolve: (result: TransactionResult) => void,
  ) {
    const refused: RefusedRecipient[] = [];
    const commands = toCommands(envelope, extensions);
    let mailRefusal: RawReply | null = null;
    let written = 0;
    const end = (result: TransactionResult) => {
      onFailure = null;
      resolve(result);
    };
    // After a refused MAIL, the replies to RCPT say nothing about the recipients.
    const refuse = (stage: TransactionStage, reply: RawReply) =>
      end({ kind: 'refused', refused: stage === 'mail' ? [] : refused, stage, reply });
    const allRefused = () => refused.length === envelope.to.length;
    // The connection may end before the replies to the other commands: what is refused stays so.
    onFailure = (error) => {
      if (mailRefusal) refuse('mail', mailRefusal);
      else if (allRefused() && error.code !== 'EPROTOCOL')
        refuse('rcpt', (refused.at(-1) as RefusedRecipient).reply);
      else end({ kind: 'broken', refused, error });
    };

    /** Without pipelining, each command waits for the reply to the one before. */
    function writeNext(expectReply: () => void) {
      if (isPipelined) return;
      expectReply();
      socket.write(commands[written++] as string);
    }

    function expectMail() {
      expect([250], (reply) => {
        if (reply.code >= 400) mailRefusal = reply;
        if (mailRefusal && !isPipelined) return refuse('mail', reply);
        writeNext(() => expectRcpt(0));
      });
    }

    function expectRcpt(index: number) {
      expect([250, 251, 252], (reply) => {
        if (reply.code >= 400) refused.push({ index, reply });
        if (index + 1 < envelope.to.length) return writeNext(() => expectRcpt(index + 1));
        if (allRefused() && !isPipelined) return refuse('rcpt', reply);
        writeNext(expectData);
      });
    }

    function expectData() {
      expect([354], (reply) => {
        if (mailRefusal) {
          if (reply.code < 400) return fail(new SessionError('EPROTOCOL', `Invalid reply: ${reply.text}`));
          return refuse('mail', mailRefusal);
        }
        if (allRefused()) return endWithoutRecipients(reply);
        if (reply.code >= 400) return refuse('data', reply);
        isWriting = true;
        observer.bodyStarted();
        expectFinal();
        writeMessage(slices, observer).catch((error: Error) => {
          fail(new SessionError('ECONNECTION', `The message could not be written: ${error.message}`));
        });
      });
    }

    /** A 354 for no recipients gets an empty message (RFC 2920, section 3.1). */
    function endWithoutRecipients({ code }: RawReply) {
      const finish = () => refuse('rcpt', (refused.at(-1) as RefusedRecipient).reply);
      if (code >= 400) return finish();
      expect([250], finish);
      socket.write(FINAL_DOT);
    }

    function expectFinal() {
      const onReply = (reply: RawReply) => {
        if (reply.code < 400) end({ kind: 'accepted', refused, reply });
        else refuse('message', reply);
      };
      expect([250], onReply, true);
    }

    if (isPipelined) {
      expectMail();
      for (let index = 0; index < envelope.to.length; index++) expectRcpt(index);
      expectData();
      socket.write(commands.join(''));
    } else {
      expectMail();
      socket.write(commands[written++] as string);
    }
  }

  return {
    get isOpen() {
      return failure === null;
    },
    send(envelope, slices, observer) {
      return new Promise((resolve) => {
        if (failure) resolve({ kind: 'broken', refused: [], error: failure });
        else transact(envelope, slices, observer, resolve);
      });
    },
    reset() {
      return new Promise((resolve, reject) => {
        if (failure) return reject(failure);
        onFailure = reject;
        expect([250], (reply) => {
          onFailure = null;
          if (reply.code < 400) resolve();
          else reject(new SessionError('EPROTOCOL', `Invalid reply: ${reply.text}`));
        });
        socket.write('RSET\r\n');
      });
    },
    quit() {
      if (failure) return;
      failure = new SessionError('ECONNECTION', 'Connection closed');
      socket.end('QUIT\r\n');
    },
    close(error = new SessionError('ECONNECTION', 'Connection closed')) {
      fail(error);
    },
  };
}

function toCommands(
  { from, to, needsSmtpUtf8 }: TransactionEnvelope,
  extensions: readonly string[],
): string[] {
  const addresses = [from, ...to];
  // Addresses are validated long before. Only a bug could let one reach this line that ends a
  // command.
  if (addresses.some((address) => /[\p{Cc}<>]/u.test(address)))
    throw new Error('invalid address in an envelope');
  const utf8 = needsSmtpUtf8 && extensions.includes('SMTPUTF8') ? ' SMTPUTF8' : '';
  return [`MAIL FROM:<${from}>${utf8}\r\n`, ...to.map((email) => `RCPT TO:<${email}>\r\n`), 'DATA\r\n'];
}

/** Doubles each dot that starts a line (RFC 5321, section 4.5.2). */
function doubleDots(slice: Buffer, startsLine: boolean): Buffer {
  const isFirst = startsLine && slice[0] === 0x2e;
  if (!isFirst && !slice.includes('\n.')) return slice;
  return Buffer.from((isFirst ? '.' : '') + slice.toString('latin1').replaceAll('\n.', '\n..'), 'latin1');
}
