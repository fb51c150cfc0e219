import MailComposer from 'nodemailer/lib/mail-composer';
import type { SMTPConnectionSendInfo } from 'nodemailer/lib/smtp-connection';
import type { Job } from '../../../core/delivery/outcome.ts';
import type { AttemptObserver } from '../../../core/ports/transport.ts';
import type { AccountLogin, LoginProvider, SessionLogin } from '../auth/login.ts';
import type { AttemptProgress } from '../errors/nodemailer-errors.ts';
import { parseReply } from '../errors/reply-parser.ts';
import { assertEnvelope, toMailOptions } from '../mime/mail-options.ts';
import type { ServerOptions } from '../server-options.ts';
import { type AttemptTracker, trackAttempt } from './attempt-tracker.ts';
import { openSession, type Session } from './session.ts';

/**
 * A connection is replaced after this many messages: Gmail closes old ones (421 Connection
 * expired).
 */
const MAX_MESSAGES = 100;

export interface PoolOptions extends ServerOptions {
  /** Null: connections do not log in. */
  readonly loginProvider: LoginProvider | null;
}

/** The result of one attempt on one connection. */
export type PoolResult = AcceptedResult | FailedResult;

interface AcceptedResult {
  readonly kind: 'accepted';
  readonly info: SMTPConnectionSendInfo;
  readonly progress: AttemptProgress;
}

interface FailedResult {
  readonly kind: 'failed';
  readonly error: unknown;
  readonly progress: AttemptProgress;
  /** The connection had sent a message before. */
  readonly reused: boolean;
  /**
   * The connection was reused, no part of this message was read, and the attempt was not aborted
   * here.
   */
  readonly replaceable: boolean;
}

export interface Pool {
  /** `host:port`. */
  readonly server: string;
  /**
   * Sends on an idle or a new connection. Never rejects. Concurrent calls use one connection each.
   */
  send(job: Job, observer?: AttemptObserver): Promise<PoolResult>;
  /**
   * Connects and logs in on a connection of its own. Resolves to null, or to what was thrown. Never
   * rejects.
   */
  verify(): Promise<{ readonly error: unknown } | null>;
  /**
   * Closes idle connections, oldest first, until at most `maxConnections` are open, idle and busy
   * ones together. Returns the number that remains, which busy ones may keep above the maximum.
   */
  closeIdle(maxConnections: number): number;
  /** Closes idle connections at once and aborts running attempts. */
  close(): void;
}

interface Connection {
  readonly session: Session;
  /** The credentials the session was opened with; null if it has not logged in. */
  readonly login: AccountLogin | null;
  readonly sessionLogin: SessionLogin | null;
  /** The last message was refused: RSET is needed before the next one. */
  readonly needsReset: boolean;
}

/** Opens a pool of connections to one server. The most recently used connection is reused first. */
export function openPool(options: PoolOptions): Pool {
  const running = new Set<AttemptTracker>();
  const loginProvider = options.tls === 'never' ? null : options.loginProvider;
  let idle: Connection[] = [];
  let closed = false;

  /**
   * Closes idle connections that are dead, were opened with former credentials, or whose token
   * expires soon.
   */
  function closeUnusable(currentLogin: AccountLogin | null): void {
    const isUsable = ({ session, login, sessionLogin }: Connection) =>
      session.isOpen && login === currentLogin && !sessionLogin?.isExpired();
    for (const connection of idle) if (!isUsable(connection)) connection.session.close();
    idle = idle.filter(isUsable);
  }

  /** Takes an idle connection that is ready for the next message, or opens one. */
  async function acquire(login: AccountLogin | null, signal: AbortSignal): Promise<Connection> {
    closeUnusable(login);
    for (let connection = idle.pop(); connection; connection = idle.pop()) {
      if (!connection.needsReset) return connection;
      try {
        await connection.session.reset(signal);
        return { ...connection, needsReset: false };
      } catch {
        // No message depends on this connection: the next one serves as well.
        connection.session.close();
      }
    }
    return open(login, signal);
  }

  async function open(login: AccountLogin | null, signal: AbortSignal): Promise<Connection> {
    const sessionLogin = login?.createSessionLogin() ?? null;
    try {
      const session = await openSession(options, sessionLogin?.auth ?? null, signal);
      return { session, login, sessionLogin, needsReset: false };
    } catch (error) {
      if (isRefusedLogin(error)) loginProvider?.reportRefused();
      throw error;
    }
  }

  /** Runs `run` with a tracker that its deadlines, or closing the pool, abort. */
  async function runTracked<Result>(
    observer: AttemptObserver | undefined,
    run: (tracker: AttemptTracker) => Promise<Result>,
  ): Promise<Result> {
    const tracker = trackAttempt(observer, options.deadlines);
    running.add(tracker);
    if (closed) tracker.abort();
    try {
      return await run(tracker);
    } finally {
      tracker.end();
      running.delete(tracker);
    }
  }

  function release(connection: Connection): void {
    const { session } = connection;
    if (closed) session.close();
    else if (session.messages >= MAX_MESSAGES) session.quit();
    else idle.push(connection);
  }

  async function attempt(job: Job, tracker: AttemptTracker): Promise<PoolResult> {
    const { progress, signal } = tracker;
    let connection: Connection | undefined;
    let reused = false;
    try {
      connection = await acquire(loginProvider?.current() ?? null, signal);
      const { session } = connection;
      reused = session.messages > 0;
      const message = new MailComposer(toMailOptions(job)).compile();
      assertEnvelope(message, job);
      const stream = tracker.track(message.createReadStream());
      const info = await session.send(message.getEnvelope(), stream, signal);
      if (isAcceptance(info, progress)) {
        release(connection);
        return { kind: 'accepted', info, progress };
      }
      // Replies are out of step: the server could read later commands as lines of a message.
      session.close();
      return { kind: 'failed', error: toInvalidReply(info), progress, reused, replaceable: false };
    } catch (error) {
      if (connection && isRefusal(error, progress)) release({ ...connection, needsReset: true });
      else connection?.session.close();
      const replaceable = reused && !progress.bodyStarted && !signal.aborted;
      return { kind: 'failed', error, progress, reused, replaceable };
    }
  }

  return {
    server: `${options.host}:${options.port}`,
    send: (job, observer) => runTracked(observer, (tracker) => attempt(job, tracker)),
    verify: () =>
      runTracked(undefined, async ({ signal }) => {
        try {
          const { session } = await open(loginProvider?.current() ?? null, signal);
          session.quit();
          return null;
        } catch (error) {
          return { error };
        }
      }),
    closeIdle(maxConnections) {
      idle = idle.filter(({ session }) => session.isOpen);
      const excess = Math.min(idle.length, Math.max(0, idle.length + running.size - maxConnections));
      for (const { session } of idle.splice(0, excess)) session.quit();
      return idle.length + running.size;
    },
    close() {
      closed = true;
      for (const tracker of running) tracker.abort();
      for (const { session } of idle) session.close();
    },
  };
}

/**
 * Nodemailer treats any reply that begins with 2, at any time, as a final reply that accepts the
 * message.
 */
function isAcceptance(info: SMTPConnectionSendInfo, { bodyEnded }: AttemptProgress): boolean {
  const { code } = parseReply(info.response);
  return bodyEnded && code >= 200 && code < 300;
}

/**
 * True if the server refused the message in its turn: the session can be reused unless the server
 * closed it.
 */
function isRefusal(error: unknown, { bodyStarted, bodyEnded }: AttemptProgress): boolean {
  const response = error instanceof Error && 'response' in error ? String(error.response) : '';
  return parseReply(response).code >= 400 && bodyStarted === bodyEnded;
}

/** Also true if no access token was obtained. */
function isRefusedLogin(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAUTH';
}

function toInvalidReply({ response }: SMTPConnectionSendInfo): Error {
  return Object.assign(new Error('Message failed'), { code: 'EMESSAGE', command: 'DATA', response });
}
