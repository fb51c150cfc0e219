import MailComposer from 'nodemailer/lib/mail-composer';
import type { SMTPConnectionSendInfo } from 'nodemailer/lib/smtp-connection';
import type { Job } from '../../../core/delivery/outcome.ts';
import type { AttemptObserver } from '../../../core/ports/transport.ts';
import type { Login, Logins, Pass } from '../auth/login.ts';
import type { Progress } from '../errors/nodemailer-errors.ts';
import { parseReply } from '../errors/reply-parser.ts';
import { assertEnvelope, toMailOptions } from '../mime/mail-options.ts';
import type { ServerOptions } from '../server-options.ts';
import { type AttemptProgress, trackAttempt } from './attempt-progress.ts';
import { openSession, type Session } from './session.ts';

/** Then a connection makes way for a new one, as old ones fare badly with Gmail (421 Connection expired). */
const MAX_MESSAGES = 100;

export interface PoolOptions extends ServerOptions {
  /** Null: nobody logs in. */
  readonly logins: Logins | null;
}

/** How one use of a connection went. */
export type PoolResult =
  | { readonly info: SMTPConnectionSendInfo; readonly progress: Progress }
  /**
   * `reused`: the connection had served before. `replaceable`: also, nothing of this message was read, and it was not us who gave up.
   */
  | {
      readonly error: unknown;
      readonly progress: Progress;
      readonly reused: boolean;
      readonly replaceable: boolean;
    };

export interface Pool {
  readonly server: string;
  /** Sends on a free or a new connection. Never rejects. There are as many connections as there are calls at once. */
  send(job: Job, watch?: AttemptObserver): Promise<PoolResult>;
  /** Connects and logs in on a connection of its own. Null if that worked, else what was thrown. Never rejects. */
  verify(): Promise<{ readonly error: unknown } | null>;
  /** Ends connections that are free, the oldest first, until there are no more than so many in all; answers how many there are. */
  keep(atMost: number): number;
  /** Closes idle connections at once and aborts what still runs. */
  close(): void;
}

/** A session, what it logged in with, and whether a refusal must be forgotten before the next message. */
interface Connection {
  readonly session: Session;
  readonly login: Login | null;
  readonly pass: Pass | null;
  readonly refused: boolean;
}

/** The connections to one server: those that are free, newest first, and those that are at work. */
export function openPool(options: PoolOptions): Pool {
  const running = new Set<AttemptProgress>();
  const logins = options.tls === 'never' ? null : options.logins;
  let idle: Connection[] = [];
  let closed = false;

  /** Closes what must not be used again: dead, made with former credentials, or about to end with its token. */
  function prune(login: Login | null): void {
    const isUsable = ({ session, login: made, pass }: Connection) =>
      session.isOpen && made === login && !pass?.isOver();
    for (const connection of idle) if (!isUsable(connection)) connection.session.close();
    idle = idle.filter(isUsable);
  }

  /** A free connection, fit for the next message, or a new one. */
  async function lease(login: Login | null, signal: AbortSignal): Promise<Connection> {
    prune(login);
    for (let connection = idle.pop(); connection; connection = idle.pop()) {
      if (!connection.refused) return connection;
      try {
        await connection.session.reset(signal);
        return { ...connection, refused: false };
      } catch {
        // Nothing depends on it: another will do.
        connection.session.close();
      }
    }
    return open(login, signal);
  }

  async function open(login: Login | null, signal: AbortSignal): Promise<Connection> {
    const pass = login?.createPass() ?? null;
    try {
      const session = await openSession(options, pass?.auth ?? null, signal);
      return { session, login, pass, refused: false };
    } catch (error) {
      if (isRefusedLogin(error)) logins?.refused();
      throw error;
    }
  }

  /** Runs what may be given up, by its deadlines or when the pool closes. */
  async function tracked<Result>(
    watch: AttemptObserver | undefined,
    run: (track: AttemptProgress) => Promise<Result>,
  ): Promise<Result> {
    const track = trackAttempt(watch, options.deadlines);
    running.add(track);
    if (closed) track.abort();
    try {
      return await run(track);
    } finally {
      track.end();
      running.delete(track);
    }
  }

  function release(connection: Connection): void {
    const { session } = connection;
    if (closed) session.close();
    else if (session.messages >= MAX_MESSAGES) session.quit();
    else idle.push(connection);
  }

  async function attempt(job: Job, track: AttemptProgress): Promise<PoolResult> {
    const { progress, signal } = track;
    let connection: Connection | undefined;
    let reused = false;
    try {
      connection = await lease(logins?.current() ?? null, signal);
      const { session } = connection;
      reused = session.messages > 0;
      const message = new MailComposer(toMailOptions(job)).compile();
      assertEnvelope(message, job);
      const info = await session.send(message.getEnvelope(), track.watch(message.createReadStream()), signal);
      if (isAcceptance(info, progress)) {
        release(connection);
        return { info, progress };
      }
      // Out of step, the server may take what follows for lines of a message.
      session.close();
      return { error: toGarbage(info), progress, reused, replaceable: false };
    } catch (error) {
      if (connection && isRefusal(error, progress)) release({ ...connection, refused: true });
      else connection?.session.close();
      return { error, progress, reused, replaceable: reused && !progress.bodyStarted && !signal.aborted };
    }
  }

  return {
    server: `${options.host}:${options.port}`,
    send: (job, watch) => tracked(watch, (track) => attempt(job, track)),
    verify: () =>
      tracked(undefined, async ({ signal }) => {
        try {
          const { session } = await open(logins?.current() ?? null, signal);
          session.quit();
          return null;
        } catch (error) {
          return { error };
        }
      }),
    keep(atMost) {
      idle = idle.filter(({ session }) => session.isOpen);
      const tooMany = Math.min(idle.length, Math.max(0, idle.length + running.size - atMost));
      for (const { session } of idle.splice(0, tooMany)) session.quit();
      return idle.length + running.size;
    },
    close() {
      closed = true;
      for (const track of running) track.abort();
      for (const { session } of idle) session.close();
    },
  };
}

/** Nodemailer takes whatever begins with a 2, whenever it comes, for a final reply that accepts the message. */
function isAcceptance(info: SMTPConnectionSendInfo, { bodyEnded }: Progress): boolean {
  const { code } = parseReply(info.response);
  return bodyEnded && code >= 200 && code < 300;
}

/** Whether the server has said no when it was its turn, so that the session can go on, unless it has ended it. */
function isRefusal(error: unknown, { bodyStarted, bodyEnded }: Progress): boolean {
  const response = error instanceof Error && 'response' in error ? String(error.response) : '';
  return parseReply(response).code >= 400 && bodyStarted === bodyEnded;
}

/** Also where no token could be had to log in with. */
function isRefusedLogin(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAUTH';
}

function toGarbage({ response }: SMTPConnectionSendInfo): Error {
  return Object.assign(new Error('Message failed'), { code: 'EMESSAGE', command: 'DATA', response });
}
