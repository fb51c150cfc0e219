import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createReplyReader, type RawReply } from './reply-reader.ts';

/** What MAIL and RCPT name, as they are written: `toAddrSpec` form. */
export interface TransactionEnvelope {
  readonly from: string;
  readonly to: readonly string[];
  /** Asks for SMTPUTF8 (RFC 6531), if the server offers it. */
  readonly needsSmtpUtf8: boolean;
}

/** The command that a reply refers to. */
export type TransactionStage = 'mail' | 'rcpt' | 'data' | 'message';

/** How a transaction ended. `refused` names recipients that RCPT refused. */
export type TransactionResult = { readonly refused: readonly RefusedRecipient[] } & (
  | { readonly kind: 'accepted'; readonly reply: RawReply }
  | { readonly kind: 'refused'; readonly stage: TransactionStage; readonly reply: RawReply }
  /** The session broke, or the server does not follow the protocol. Nothing more can be sent on it. */
  | { readonly kind: 'broken'; readonly error: SessionError }
);

export interface RefusedRecipient {
  readonly email: string;
  readonly reply: RawReply;
}

/** Why a session cannot be used any more. */
export class SessionError extends Error {
  override readonly name = 'SessionError';
  readonly kind: 'closed' | 'protocol' | 'aborted';
  /** Code of the system or of TLS, if there is one. */
  readonly systemCode: string;
  /** A 4yz or 5yz reply with which the server ended the session. */
  readonly reply: RawReply | null;

  constructor(kind: SessionError['kind'], message: string, systemCode = '', reply: RawReply | null = null) {
    super(message);
    this.kind = kind;
    this.systemCode = systemCode;
    this.reply = reply;
  }
}

/** Follows a transaction. */
export interface TransactionObserver {
  /** The server wants the message (354): its first byte goes out now. */
  bodyStarted(): void;
  /** The final dot goes out now: from here on the server may accept the message. */
  bodyEnded(): void;
}

/**
 * Transactions on a socket that is connected, encrypted and logged in (RFC 5321, section 3.3). One at a time.
 *
 * A reply is accepted only if its code can answer the command: only 354 lets a message out, and a positive reply
 * that arrives before the final dot ends the session.
 */
export interface TransactionClient {
  readonly isOpen: boolean;
  /** Never rejects. */
  send(
    envelope: TransactionEnvelope,
    slices: Iterable<Buffer>,
    observer: TransactionObserver,
  ): Promise<TransactionResult>;
  /** RSET. Rejects with a SessionError. */
  reset(): Promise<void>;
  /** Says QUIT and closes. */
  quit(): void;
  /** Closes at once; a transaction that runs is broken with this error. */
  close(error?: SessionError): void;
}

const DOT = Buffer.from('.\r\n');
const DOUBLED = '\n.';

/** @param extensions keywords of the reply to EHLO */
export function createTransactionClient(socket: Socket, extensions: readonly string[]): TransactionClient {
  const isPipelined = extensions.includes('PIPELINING');
  /** Called with each reply in turn; empty while no command waits for one. */
  let expected: {
    readonly codes: readonly number[];
    readonly settle: (reply: RawReply) => void;
    readonly isBody: boolean;
  }[] = [];
  let failure: SessionError | null = null;
  let onFailure: ((error: SessionError) => void) | null = null;
  let isWriting = false;
  let onDrain: (() => void) | null = null;

  function fail(error: SessionError) {
    if (failure) return;
    failure = error;
    expected = [];
    socket.destroy();
    onDrain?.();
    onFailure?.(error);
  }

  function take(reply: RawReply) {
    const next = expected.shift();
    if (next === undefined) {
      const kind = reply.code === 421 ? 'closed' : 'protocol';
      return fail(
        new SessionError(kind, `An unexpected reply: ${reply.text}`, '', reply.code >= 400 ? reply : null),
      );
    }
    const isEarly = next.isBody && isWriting;
    // Whatever answers DATA must come after it was sent, and nothing may follow it before the message has ended.
    const isAhead =
      next.codes[0] === 354 && reply.code === 354 && (reader.hasPartialReply || expected.length > 0);
    if (reply.code < 400 && (!next.codes.includes(reply.code) || isEarly || isAhead)) {
      return fail(new SessionError('protocol', `A reply that does not answer its command: ${reply.text}`));
    }
    next.settle(reply);
    if (reply.code === 421) fail(new SessionError('closed', 'The server closed the connection', '', reply));
    else if (isEarly) fail(new SessionError('closed', 'The message was refused before its end', '', reply));
  }

  const reader = createReplyReader((event) => {
    if (failure) return;
    if (event.kind === 'reply') take(event.reply);
    else fail(new SessionError('protocol', `The server did not speak SMTP: ${event.text}`));
  });

  function onEnd() {
    const cut = /^[45]\d\d[ -]/.test(reader.partial)
      ? { code: Number(reader.partial.slice(0, 3)), text: reader.partial }
      : null;
    fail(new SessionError('closed', 'Connection closed', '', cut));
  }

  socket.on('data', (chunk: Buffer) => reader.push(chunk));
  socket.on('drain', () => onDrain?.());
  socket.once('end', onEnd);
  socket.once('close', onEnd);
  socket.on('error', (error: NodeJS.ErrnoException) =>
    fail(new SessionError('closed', error.message, error.code ?? '')),
  );

  function ask(codes: readonly number[], settle: (reply: RawReply) => void, isBody = false) {
    expected.push({ codes, settle, isBody });
  }

  function envelopeCommands({ from, to, needsSmtpUtf8 }: TransactionEnvelope): string[] {
    const utf8 = needsSmtpUtf8 && extensions.includes('SMTPUTF8') ? ' SMTPUTF8' : '';
    return [`MAIL FROM:<${from}>${utf8}\r\n`, ...to.map((email) => `RCPT TO:<${email}>\r\n`), 'DATA\r\n'];
  }

  /** Writes slices, dots doubled (RFC 5321, section 4.5.2), and the final dot, with a turn of the loop between two slices. */
  async function writeBody(slices: Iterable<Buffer>, observer: TransactionObserver): Promise<void> {
    let waiting: Buffer | null = null;
    let startsLine = true;
    for (const slice of slices) {
      const stuffed = doubleDots(slice, startsLine);
      startsLine = slice.at(-1) === 0x0a;
      if (waiting) {
        if (!socket.write(waiting)) await new Promise<void>((resolve) => (onDrain = resolve));
        onDrain = null;
        await nextTurn();
        if (failure) return;
      }
      waiting = stuffed;
    }
    isWriting = false;
    observer.bodyEnded();
    socket.cork();
    if (waiting) socket.write(waiting);
    socket.write(DOT);
    socket.uncork();
  }

  function transact(
    envelope: TransactionEnvelope,
    slices: Iterable<Buffer>,
    observer: TransactionObserver,
    done: (result: TransactionResult) => void,
  ) {
    const refused: RefusedRecipient[] = [];
    const commands = envelopeCommands(envelope);
    let mailRefusal: RawReply | null = null;
    let sent = 0;
    const end = (result: TransactionResult) => {
      onFailure = null;
      done(result);
    };
    onFailure = (error) => end({ kind: 'broken', refused, error });

    function next() {
      if (!isPipelined) socket.write(commands[sent++] as string);
    }

    ask([250], (reply) => {
      if (reply.code >= 400) mailRefusal = reply;
      if (isPipelined) return;
      if (mailRefusal) return end({ kind: 'refused', refused, stage: 'mail', reply });
      askRecipient(0);
      next();
    });
    function askRecipient(i: number) {
      ask([250, 251, 252], (reply) => {
        if (reply.code >= 400) refused.push({ email: envelope.to[i] as string, reply });
        if (isPipelined) return;
        if (i + 1 < envelope.to.length) askRecipient(i + 1);
        else if (refused.length < envelope.to.length) askData();
        else return end({ kind: 'refused', refused, stage: 'rcpt', reply });
        next();
      });
    }
    function askData() {
      ask([354], (reply) => {
        if (mailRefusal) return end({ kind: 'refused', refused, stage: 'mail', reply: mailRefusal });
        if (refused.length === envelope.to.length) {
          if (reply.code < 400)
            fail(new SessionError('protocol', 'The server wants a message for no recipient'));
          else
            end({
              kind: 'refused',
              refused,
              stage: 'rcpt',
              reply: (refused.at(-1) as RefusedRecipient).reply,
            });
          return;
        }
        if (reply.code >= 400) return end({ kind: 'refused', refused, stage: 'data', reply });
        isWriting = true;
        observer.bodyStarted();
        ask(
          [250],
          (final) => {
            isWriting = false;
            if (final.code < 400) end({ kind: 'accepted', refused, reply: final });
            else end({ kind: 'refused', refused, stage: 'message', reply: final });
          },
          true,
        );
        void writeBody(slices, observer);
      });
    }
    if (isPipelined) {
      for (let i = 0; i < envelope.to.length; i++) askRecipient(i);
      askData();
      socket.write(commands.join(''));
    } else {
      next();
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
        ask([250], (reply) => {
          onFailure = null;
          if (reply.code < 400) resolve();
          else reject(new SessionError('protocol', `RSET was refused: ${reply.text}`));
        });
        socket.write('RSET\r\n');
      });
    },
    quit() {
      if (failure) return;
      failure = new SessionError('closed', 'Connection closed');
      socket.end('QUIT\r\n');
    },
    close(error = new SessionError('closed', 'Connection closed')) {
      fail(error);
    },
  };
}

/** Doubles a dot at the start of a line. */
function doubleDots(slice: Buffer, startsLine: boolean): Buffer {
  const isFirst = startsLine && slice[0] === 0x2e;
  if (!isFirst && !slice.includes(DOUBLED)) return slice;
  return Buffer.from((isFirst ? '.' : '') + slice.toString('latin1').replaceAll('\n.', '\n..'), 'latin1');
}
