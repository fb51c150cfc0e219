import type { Job } from '../../../core/delivery/outcome.ts';
import { toAddrSpec } from '../../../core/message/address.ts';
import type { AttemptObserver } from '../../../core/ports/transport.ts';
import type { AccountLogin, LoginProvider, SessionLogin } from '../../mail-server/login.ts';
import type { AttemptProgress } from '../errors/nodemailer-errors.ts';
import { compose } from '../mime/compose.ts';
import type { ServerOptions } from '../server-options.ts';
import { type AttemptTracker, trackAttempt } from './attempt-tracker.ts';
import { openSession, type Session } from './session.ts';
import type { TransactionEnvelope, TransactionResult } from './transaction.ts';

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
export type PoolResult = {
  readonly progress: AttemptProgress;
  /** The connection had sent a message before. */
  readonly reused: boolean;
  /**
   * The connection was reused, no part of this message was read, and the attempt was not aborted
   * here.
   */
  readonly replaceable: boolean;
} & (
  | { readonly kind: 'transaction'; readonly transaction: TransactionResult }
  /** There was no transaction. */
  | { readonly kind: 'failed'; readonly error: unknown }
);

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
  /** Closes idle connections that were opened with former credentials. */
  closeFormer(): void;
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
  const needsLogin = options.tls !== 'never' && options.login !== 'none';
  const loginProvider = needsLogin ? options.loginProvider : null;
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
  async function acquire(login: AccountLogin | null, tracker: AttemptTracker): Promise<Connection> {
    closeUnusable(login);
    for (let connection = idle.pop(); connection; connection = idle.pop()) {
      if (!connection.needsReset) return connection;
      try {
        await connection.session.reset(tracker);
        return { ...connection, needsReset: false };
      } catch {
        // No message depends on this connection: the next one serves as well.
        connection.session.close();
      }
    }
    return open(login, tracker);
  }

  async function open(login: AccountLogin | null, tracker: AttemptTracker): Promise<Connection> {
    const sessionLogin = login?.createSessionLogin() ?? null;
    try {
      const session = await openSession(options, sessionLogin?.auth ?? null, tracker);
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

  function isFormer({ login }: Connection): boolean {
    return loginProvider !== null && !loginProvider.isCurrent(login);
  }

  function release(connection: Connection): void {
    const { session } = connection;
    if (closed) session.close();
    else if (session.messages >= MAX_MESSAGES || isFormer(connection)) session.quit();
    else idle.push(connection);
  }

  async function attempt(job: Job, tracker: AttemptTracker): Promise<PoolResult> {
    const { progress } = tracker;
    let connection: Connection;
    try {
      connection = await acquire(loginProvider?.current() ?? null, tracker);
    } catch (error) {
      return { kind: 'failed', error, progress, reused: false, replaceable: false };
    }
    const { session } = connection;
    const reused = session.messages > 0;
    try {
      const message = await compose(job);
      const envelope = toEnvelope(job, message.needsSmtpUtf8, await message.size());
      tracker.sessionReady();
      const transaction = await session.send(envelope, message.slices(), tracker);
      if (session.isOpen) release({ ...connection, needsReset: transaction.kind === 'refused' });
      const replaceable = reused && !progress.bodyStarted && !tracker.isAborted;
      return { kind: 'transaction', transaction, progress, reused, replaceable };
    } catch (error) {
      session.close();
      return { kind: 'failed', error, progress, reused, replaceable: false };
    }
  }

  return {
    server: `${options.host}:${options.port}`,
    send: (job, observer) => runTracked(observer, (tracker) => attempt(job, tracker)),
    verify: () =>
      runTracked(undefined, async (tracker) => {
        try {
          const { session } = await open(loginProvider?.current() ?? null, tracker);
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
    closeFormer() {
      for (const connection of idle) if (isFormer(connection)) connection.session.quit();
      idle = idle.filter((connection) => !isFormer(connection));
    },
    close() {
      closed = true;
      for (const tracker of running) tracker.abort();
      for (const { session } of idle) session.close();
    },
  };
}

/** Non-ASCII addresses need SMTPUTF8 in the envelope, too. */
function toEnvelope(
  { envelope, recipients }: Job,
  headerNeedsSmtpUtf8: boolean,
  size: number,
): TransactionEnvelope {
  const from = toAddrSpec(envelope.from.email);
  const to = recipients.map(toAddrSpec);
  const needsSmtpUtf8 = headerNeedsSmtpUtf8 || [from, ...to].some((address) => !/^[ -~]*$/.test(address));
  return { from, to, needsSmtpUtf8, size };
}

/** Also true if no access token was obtained. */
function isRefusedLogin(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAUTH';
}
