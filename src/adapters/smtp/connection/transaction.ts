import type { Socket } from 'node:net';
import { createCommandChannel, FINAL_DOT, SessionError } from './command-channel.ts';
import type { RawReply } from './reply-reader.ts';

/** The envelope of a transaction. Addresses are in the form of RFC 5321, without angle brackets. */
export interface TransactionEnvelope {
  readonly from: string;
  readonly to: readonly string[];
  /** Requests SMTPUTF8 (RFC 6531) if the server offers it. */
  readonly needsSmtpUtf8: boolean;
  /** Octets of the message, sent to a server that offers SIZE (RFC 1870). */
  readonly size: number;
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

/** @param extensions keywords of the server's reply to EHLO */
export function createTransactionClient(socket: Socket, extensions: readonly string[]): TransactionClient {
  const isPipelined = extensions.includes('PIPELINING');
  const channel = createCommandChannel(socket);

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
      channel.endExchange();
      resolve(result);
    };
    // After a refused MAIL, the replies to RCPT say nothing about the recipients.
    const refuse = (stage: TransactionStage, reply: RawReply) =>
      end({ kind: 'refused', refused: stage === 'mail' ? [] : refused, stage, reply });
    const allRefused = () => refused.length === envelope.to.length;
    const refuseAll = () => refuse('rcpt', (refused.at(-1) as RefusedRecipient).reply);
    // The connection may end before the replies to the other commands: what is refused stays so.
    channel.beginExchange((error) => {
      if (mailRefusal) refuse('mail', mailRefusal);
      else if (allRefused() && error.code !== 'EPROTOCOL') refuseAll();
      else end({ kind: 'broken', refused, error });
    });

    /** Without pipelining, each command waits for the reply to the one before. */
    function writeNext(expectReply: () => void) {
      if (isPipelined) return;
      expectReply();
      channel.write(commands[written++] as string);
    }

    function expectMail() {
      channel.expect([250], (reply) => {
        if (reply.code >= 400) mailRefusal = reply;
        if (mailRefusal && !isPipelined) return refuse('mail', reply);
        writeNext(() => expectRcpt(0));
      });
    }

    function expectRcpt(index: number) {
      channel.expect([250, 251, 252], (reply) => {
        if (reply.code >= 400) refused.push({ index, reply });
        if (index + 1 < envelope.to.length) return writeNext(() => expectRcpt(index + 1));
        if (allRefused() && !isPipelined) return refuseAll();
        writeNext(expectData);
      });
    }

    function expectData() {
      channel.expect([354], (reply) => {
        if (mailRefusal) {
          if (reply.code < 400)
            return channel.fail(new SessionError('EPROTOCOL', `Invalid reply: ${reply.text}`));
          return refuse('mail', mailRefusal);
        }
        if (allRefused()) return endWithoutRecipients(reply);
        if (reply.code >= 400) return refuse('data', reply);
        expectFinal();
        if (channel.failure) return;
        observer.bodyStarted();
        channel.writeMessage(slices, observer.bodyEnded).catch((error: Error) => {
          channel.fail(new SessionError('ECONNECTION', `The message could not be written: ${error.message}`));
        });
      });
    }

    /** A 354 for no recipients gets an empty message (RFC 2920, section 3.1). */
    function endWithoutRecipients({ code }: RawReply) {
      if (code >= 400) return refuseAll();
      channel.expect([250], refuseAll);
      channel.write(FINAL_DOT);
    }

    function expectFinal() {
      const onReply = (reply: RawReply) => {
        if (reply.code < 400) end({ kind: 'accepted', refused, reply });
        else refuse('message', reply);
      };
      channel.expect([250], onReply, true);
    }

    if (isPipelined) {
      expectMail();
      for (let index = 0; index < envelope.to.length; index++) expectRcpt(index);
      expectData();
      channel.write(commands.join(''));
    } else {
      expectMail();
      channel.write(commands[written++] as string);
    }
  }

  return {
    get isOpen() {
      return channel.failure === null;
    },
    send(envelope, slices, observer) {
      return new Promise((resolve) => {
        if (channel.failure === null && !channel.hasUnexpected)
          return transact(envelope, slices, observer, resolve);
        // Whatever the server has sent before, it was not about this message.
        const error = new SessionError('ECONNECTION', 'Connection closed');
        channel.fail(error);
        resolve({ kind: 'broken', refused: [], error });
      });
    },
    reset() {
      return new Promise((resolve, reject) => {
        if (channel.failure) return reject(channel.failure);
        channel.beginExchange(reject);
        channel.expect([250], (reply) => {
          channel.endExchange();
          if (reply.code < 400) resolve();
          else reject(new SessionError('EPROTOCOL', `Invalid reply: ${reply.text}`));
        });
        channel.write('RSET\r\n');
      });
    },
    quit: channel.quit,
    close(error = new SessionError('ECONNECTION', 'Connection closed')) {
      channel.fail(error);
    },
  };
}

function toCommands(
  { from, to, needsSmtpUtf8, size }: TransactionEnvelope,
  extensions: readonly string[],
): string[] {
  const addresses = [from, ...to];
  // Addresses are validated long before. Only a bug could let one reach this line that ends a
  // command.
  if (addresses.some((address) => /[\p{Cc}<>]/u.test(address)))
    throw new Error('invalid address in an envelope');
  const utf8 = needsSmtpUtf8 && extensions.includes('SMTPUTF8') ? ' SMTPUTF8' : '';
  const announced = extensions.includes('SIZE') ? ` SIZE=${size}` : '';
  return [
    `MAIL FROM:<${from}>${announced}${utf8}\r\n`,
    ...to.map((email) => `RCPT TO:<${email}>\r\n`),
    'DATA\r\n',
  ];
}
