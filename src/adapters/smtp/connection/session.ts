import type { Readable } from 'node:stream';
import type {
  SMTPConnectionAuth,
  SMTPConnectionSendInfo,
  SMTPEnvelope,
} from 'nodemailer/lib/smtp-connection';
import XOAuth2 from 'nodemailer/lib/xoauth2';
import type { Auth } from '../auth/login.ts';
import { type ServerOptions, toConnectionOptions } from '../server-options.ts';
import { StrictConnection } from './strict-connection.ts';

/**
 * A connection to a server, encrypted and logged in. What goes wrong rejects with what nodemailer says, an aborted signal with EABORT: then it must be
 * closed.
 */
export interface Session {
  /** Whether it can still be used. */
  readonly isOpen: boolean;
  /** How many messages were handed to it. */
  readonly messages: number;
  /** Sends what the stream holds: nodemailer begins to read it when the server wants the message, and sends the dot when it has ended. */
  send(envelope: SMTPEnvelope, content: Readable, signal: AbortSignal): Promise<SMTPConnectionSendInfo>;
  /** RSET: after a refusal, before the next message. */
  reset(signal: AbortSignal): Promise<void>;
  quit(): void;
  close(): void;
}

/**
 * Connects, and logs in if there is something to log in with: then never without. Nodemailer's pool is not used, since it keeps to itself the 421 with
 * which a server turns a reused connection away.
 */
export async function openSession(
  options: ServerOptions,
  auth: Auth | null,
  signal: AbortSignal,
): Promise<Session> {
  const connection = new StrictConnection(toConnectionOptions(options), options.resolve);
  // Steps hear of errors by themselves; between them there is nobody to be told.
  connection.on('error', () => {});
  let isOpen = true;
  let messages = 0;
  connection.once('end', () => {
    isOpen = false;
  });

  /** One exchange: ends with its callback, with the connection, or with the signal. */
  function step<Result>(
    begin: (done: (error?: Error | null, result?: Result) => void) => void,
    stop: AbortSignal,
  ): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const done = (error?: Error | null, result?: Result) =>
      error ? reject(error) : resolve(result as Result);
    // The callback may come after the end, and know more.
    const onEnd = () =>
      setImmediate(reject, Object.assign(new Error('Connection closed'), { code: 'ECONNECTION' }));
    const onAbort = () => reject(Object.assign(new Error('Given up'), { code: 'EABORT' }));
    connection.on('error', done);
    connection.once('end', onEnd);
    stop.addEventListener('abort', onAbort);
    if (stop.aborted) onAbort();
    else begin(done);
    return promise.finally(() => {
      connection.off('error', done);
      connection.off('end', onEnd);
      stop.removeEventListener('abort', onAbort);
    });
  }

  try {
    await step((done) => connection.connect(done), signal);
    if (auth) await step((done) => connection.login(toLogin(auth), done), signal).catch(duringLogin);
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
    send(envelope, content, stop) {
      messages += 1;
      return step((done) => connection.send(envelope, content, done), stop);
    },
    async reset(stop) {
      await step((done) => connection.reset(done), stop);
    },
    quit: () => connection.quit(),
    close: () => connection.close(),
  };
}

/** However the exchange breaks, the server may count it as a login. */
function duringLogin(error: object): never {
  throw Object.assign(error, { duringLogin: true });
}

function toLogin(auth: Auth): SMTPConnectionAuth {
  return 'provisionCallback' in auth
    ? { user: auth.user, method: 'XOAUTH2', oauth2: new XOAuth2(auth) }
    : auth;
}
