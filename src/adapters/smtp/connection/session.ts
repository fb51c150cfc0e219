import type { Readable } from 'node:stream';
import type {
  SMTPConnectionAuth,
  SMTPConnectionSendInfo,
  SMTPEnvelope,
} from 'nodemailer/lib/smtp-connection';
import XOAuth2 from 'nodemailer/lib/xoauth2';
import type { SessionAuth } from '../auth/login.ts';
import { type ServerOptions, toConnectionOptions } from '../server-options.ts';
import { StrictConnection } from './strict-connection.ts';

/**
 * A connection to a server, encrypted and logged in. Methods reject with nodemailer's error, or
 * with code EABORT if the signal is aborted. After EABORT the session must be closed.
 */
export interface Session {
  /** False once the connection has ended. */
  readonly isOpen: boolean;
  /** Number of messages passed to `send`. */
  readonly messages: number;
  /**
   * Sends a message. Nodemailer reads `content` once the server asks for it, and sends the dot when
   * the stream has ended.
   */
  send(envelope: SMTPEnvelope, content: Readable, signal: AbortSignal): Promise<SMTPConnectionSendInfo>;
  /** Sends RSET, which must follow a refusal before the next message. */
  reset(signal: AbortSignal): Promise<void>;
  quit(): void;
  close(): void;
}

/**
 * Connects, and logs in unless `auth` is null. Does not use nodemailer's pool, which hides the 421
 * with which a server rejects a reused connection.
 */
export async function openSession(
  options: ServerOptions,
  auth: SessionAuth | null,
  signal: AbortSignal,
): Promise<Session> {
  const connection = new StrictConnection(toConnectionOptions(options), options.resolve);
  // Each step has its own error listener. Errors between steps show as a closed connection.
  connection.on('error', () => {});
  let isOpen = true;
  let messages = 0;
  connection.once('end', () => {
    isOpen = false;
  });

  /**
   * Runs one exchange. It ends with its callback, with an error or the end of the connection, or
   * with the signal.
   */
  function step<Result>(
    begin: (done: (error?: Error | null, result?: Result) => void) => void,
    stepSignal: AbortSignal,
  ): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const done = (error?: Error | null, result?: Result) =>
      error ? reject(error) : resolve(result as Result);
    // The callback may come after `end`, with a more specific error.
    const onEnd = () =>
      setImmediate(reject, Object.assign(new Error('Connection closed'), { code: 'ECONNECTION' }));
    const onAbort = () => reject(Object.assign(new Error('Aborted'), { code: 'EABORT' }));
    connection.on('error', done);
    connection.once('end', onEnd);
    stepSignal.addEventListener('abort', onAbort);
    if (stepSignal.aborted) onAbort();
    else begin(done);
    return promise.finally(() => {
      connection.off('error', done);
      connection.off('end', onEnd);
      stepSignal.removeEventListener('abort', onAbort);
    });
  }

  try {
    await step((done) => connection.connect(done), signal);
    if (auth) await step((done) => connection.login(toLogin(auth), done), signal).catch(markLoginFailure);
  } catch (error) {
    connection.close();
    throw error;
  }
  return {
    get isOpen() {
      return isOpen;
    },
    get messages() {
      return messages;
    },
    send(envelope, content, sendSignal) {
      messages += 1;
      return step((done) => connection.send(envelope, content, done), sendSignal);
    },
    async reset(resetSignal) {
      await step((done) => connection.reset(done), resetSignal);
    },
    quit: () => connection.quit(),
    close: () => connection.close(),
  };
}

/** Marks the error as one of the login: the server may count even a broken exchange as a login. */
function markLoginFailure(error: object): never {
  throw Object.assign(error, { duringLogin: true });
}

function toLogin(auth: SessionAuth): SMTPConnectionAuth {
  const { user } = auth;
  if (auth.kind === 'password') return { user, pass: auth.password, method: 'PLAIN' };
  const { provisionCallback } = auth;
  return { user, method: 'XOAUTH2', oauth2: new XOAuth2({ user, provisionCallback }) };
}
