import type { SMTPConnectionAuth } from 'nodemailer/lib/smtp-connection';
import XOAuth2, { type XOAuth2ProvisionCallback } from 'nodemailer/lib/xoauth2';
import type { SessionAuth } from '../../mail-server/login.ts';
import { type ServerOptions, toConnectionOptions } from '../server-options.ts';
import type { AttemptTracker } from './attempt-tracker.ts';
import { SessionError } from './command-channel.ts';
import { StrictConnection } from './strict-connection.ts';
import {
  createTransactionClient,
  type TransactionClient,
  type TransactionEnvelope,
  type TransactionResult,
} from './transaction.ts';

/** A connection to a server, encrypted and logged in. */
export interface Session {
  /** False once the connection has ended. */
  readonly isOpen: boolean;
  /** Number of messages passed to `send`. */
  readonly messages: number;
  /** Runs one transaction. Never rejects. If the tracker is aborted, the session is closed. */
  send(
    envelope: TransactionEnvelope,
    slices: Iterable<Buffer>,
    tracker: AttemptTracker,
  ): Promise<TransactionResult>;
  /**
   * Sends RSET, which must follow a refusal before the next message. Rejects with a SessionError.
   */
  reset(tracker: AttemptTracker): Promise<void>;
  quit(): void;
  close(): void;
}

/**
 * Connects, and logs in unless `auth` is null, by nodemailer's connection. Transactions then run on
 * its socket.
 *
 * @throws nodemailer's error, or a SessionError: EABORT if the tracker is aborted, EPROTOCOL if the
 *   server has sent more than its replies
 */
export async function openSession(
  options: ServerOptions,
  auth: SessionAuth | null,
  tracker: AttemptTracker,
): Promise<Session> {
  const connection = new StrictConnection(toConnectionOptions(options), options.resolve);
  // Each step has its own error listener. Errors between steps show as a closed connection.
  connection.on('error', () => {});
  let client: TransactionClient;
  try {
    await step(connection, tracker, (done) => connection.connect(done));
    if (auth) {
      await step(connection, tracker, (done) => connection.login(toLogin(auth), done)).catch(
        markLoginFailure,
      );
    }
    client = createTransactionClient(...connection.detach());
  } catch (error) {
    connection.close();
    throw error;
  }
  const abort = () => client.close(aborted());
  let messages = 0;
  return {
    get isOpen() {
      return client.isOpen;
    },
    get messages() {
      return messages;
    },
    async send(envelope, slices, sendTracker) {
      messages += 1;
      sendTracker.setAbortHandler(abort);
      const result = await client.send(envelope, slices, sendTracker);
      sendTracker.setAbortHandler(null);
      return result;
    },
    async reset(resetTracker) {
      resetTracker.setAbortHandler(abort);
      await client.reset().finally(() => resetTracker.setAbortHandler(null));
    },
    quit: client.quit,
    close: () => client.close(),
  };
}

/**
 * Runs one exchange. It ends with its callback, with the connection, or when the tracker is
 * aborted.
 */
function step<Result>(
  connection: StrictConnection,
  tracker: AttemptTracker,
  begin: (done: (error?: Error | null, result?: Result) => void) => void,
): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  const done = (error?: Error | null, result?: Result) => (error ? reject(error) : resolve(result as Result));
  // The callback may come after `end`, with a more specific error.
  const onEnd = () => setImmediate(reject, new SessionError('ECONNECTION', 'Connection closed'));
  connection.on('error', done);
  connection.once('end', onEnd);
  tracker.setAbortHandler(() => reject(aborted()));
  if (!tracker.isAborted) begin(done);
  return promise.finally(() => {
    connection.off('error', done);
    connection.off('end', onEnd);
    tracker.setAbortHandler(null);
  });
}

function aborted(): SessionError {
  return new SessionError('EABORT', 'Aborted');
}

/** Marks the error as one of the login: the server may count even a broken exchange as a login. */
function markLoginFailure(error: object): never {
  throw Object.assign(error, { duringLogin: true });
}

function toLogin(auth: SessionAuth): SMTPConnectionAuth {
  const { user } = auth;
  if (auth.kind === 'password') return { user, pass: auth.password, method: 'PLAIN' };
  const provisionCallback: XOAuth2ProvisionCallback = (_user, renew, done) => {
    auth.getToken(renew).then(({ token }) => done(null, token), done);
  };
  return { user, method: 'XOAUTH2', oauth2: new XOAuth2({ user, provisionCallback }) };
}
