import type { Readable } from 'node:stream';
import { createTransport } from 'nodemailer';
import type { SMTPPoolSentMessageInfo } from 'nodemailer/lib/smtp-pool';
import type { AttemptWatch, Job } from '../../core/ports.ts';
import type { Progress } from './failure.ts';
import type { Auth, Login, Logins, Pass } from './login.ts';
import { assertEnvelope, toMail } from './mime.ts';
import { parseReply } from './reply-text.ts';
import { type Deadlines, type ServerOptions, toConnectionOptions } from './server-options.ts';
import { verifyServer } from './verify.ts';

export interface PoolOptions extends ServerOptions {
  /** Null: nobody logs in. */
  readonly logins: Logins | null;
}

/** How one use of a connection went. */
export type PoolResult =
  | { readonly info: SMTPPoolSentMessageInfo; readonly progress: Progress }
  | { readonly error: unknown; readonly progress: Progress; readonly stale: boolean };

export interface Pool {
  readonly server: string;
  /** Sends on a free or a new connection. Never rejects. Must not be called more often at once than there are connections. */
  send(job: Job, watch?: AttemptWatch): Promise<PoolResult>;
  /** Connects and logs in on a connection of its own. Null if that worked, else what was thrown. Never rejects. */
  verify(): Promise<{ readonly error: unknown } | null>;
  /** Closes idle connections at once and aborts what still runs. */
  close(): void;
}

/** The connections to one server: each is a nodemailer pool of its own, so that one can be given up without the others. */
export function openPool(options: PoolOptions): Pool {
  const tracks: Tracks = new WeakMap();
  const running = new Set<Track>();
  const logins = options.tls === 'never' ? null : options.logins;
  let idle: Connection[] = [];
  const closing = new AbortController();

  /** An idle connection, if it was made with the login that counts now and its session is not about to end; others are closed. */
  function connect(login: Login | null): Connection {
    const isUsable = (connection: Connection) => connection.login === login && !connection.pass?.isOver();
    for (const connection of idle) if (!isUsable(connection)) connection.mailer.close({ force: true });
    idle = idle.filter(isUsable);
    return idle.pop() ?? open(login);
  }

  function open(login: Login | null): Connection {
    const pass = login?.createPass() ?? null;
    return { login, pass, mailer: openMailer(options, pass?.auth ?? null, tracks) };
  }

  return {
    server: `${options.host}:${options.port}`,
    async send(job, watch) {
      const connection = connect(logins?.current() ?? null);
      const track = createTrack(job, watch, options.deadlines);
      const { signal, progress } = track;
      tracks.set(signal, track);
      running.add(track);
      if (closing.signal.aborted) track.abort();
      let inStep = false;
      try {
        const info = await connection.mailer.sendMail({ ...toMail(job), signal });
        inStep = isAcceptance(info, progress);
        return inStep ? { info, progress } : { error: toGarbage(info), progress, stale: false };
      } catch (error) {
        inStep = isRefusal(error, progress);
        if (isRefusedLogin(error)) logins?.refused();
        return { error, progress, stale: isStale(error, progress) };
      } finally {
        track.end();
        running.delete(track);
        // Out of step, the server may take RSET and what follows for lines of a message: nodemailer would go on, even to the dot.
        if (inStep && !closing.signal.aborted) idle.push(connection);
        else connection.mailer.close({ force: true });
      }
    },
    async verify() {
      try {
        await verifyServer(options, logins?.current().createPass().auth ?? null, closing.signal);
        return null;
      } catch (error) {
        if (isRefusedLogin(error)) logins?.refused();
        return { error };
      }
    },
    close() {
      closing.abort();
      for (const track of running) track.abort();
      for (const { mailer } of idle) mailer.close({ force: true });
    },
  };
}

type Tracks = WeakMap<AbortSignal, Track>;

interface Connection {
  readonly login: Login | null;
  readonly pass: Pass | null;
  readonly mailer: ReturnType<typeof openMailer>;
}

/** A nodemailer pool of one connection, with its silent retries off. */
function openMailer(server: ServerOptions, auth: Auth | null, tracks: Tracks) {
  const mailer = createTransport({
    ...toConnectionOptions(server),
    pool: true,
    maxConnections: 1,
    maxRequeues: 0,
    auth: auth ?? undefined,
    // Without it, a server that does not offer AUTH would get the message without a login.
    forceAuth: auth !== null,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  mailer.use('stream', (mail, done) => {
    const track = mail.data.signal && tracks.get(mail.data.signal);
    if (!track) return done(new Error('a message without its track'));
    try {
      assertEnvelope(mail.message, track.job);
    } catch (error) {
      return done(error as Error);
    }
    const create = mail.message.createReadStream.bind(mail.message);
    mail.message.createReadStream = (options) => track.watch(create(options));
    done();
  });
  return mailer;
}

/** Follows one attempt: how far it came, and when its time is up. */
interface Track {
  readonly job: Job;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  watch<Stream extends Readable>(stream: Stream): Stream;
  abort(): void;
  end(): void;
}

function createTrack(job: Job, watch: AttemptWatch | undefined, { setupMs, bodyMs }: Deadlines): Track {
  const controller = new AbortController();
  const progress = { sessionReady: false, bodyStarted: false, bodyEnded: false };
  const abort = () => controller.abort();
  let timer = setTimeout(abort, setupMs);
  return {
    job,
    signal: controller.signal,
    progress,
    // Nodemailer asks for the stream when the session is ready, reads it after the 354, and sends the dot only when it has ended.
    watch(stream) {
      progress.sessionReady = true;
      watch?.begun();
      stream.once('resume', () => {
        progress.bodyStarted = true;
        watch?.answered();
        clearTimeout(timer);
        timer = setTimeout(abort, bodyMs);
      });
      stream.once('end', () => {
        progress.bodyEnded = true;
      });
      return stream;
    },
    abort,
    end: () => clearTimeout(timer),
  };
}

/** Nodemailer takes whatever begins with a 2, whenever it comes, for a final reply that accepts the message. */
function isAcceptance(info: SMTPPoolSentMessageInfo, { bodyEnded }: Progress): boolean {
  const { code } = parseReply(info.response);
  return bodyEnded && code >= 200 && code < 300;
}

/** Whether the server has said no when it was its turn, so that the session can go on. */
function isRefusal(error: unknown, { bodyStarted, bodyEnded }: Progress): boolean {
  const response = error instanceof Error && 'response' in error ? String(error.response) : '';
  return parseReply(response).code >= 400 && bodyStarted === bodyEnded;
}

/** Also where no token could be had to log in with. */
function isRefusedLogin(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAUTH';
}

function toGarbage({ response }: SMTPPoolSentMessageInfo): Error {
  return Object.assign(new Error('Message failed'), { code: 'EMESSAGE', command: 'DATA', response });
}

/**
 * Whether a pooled connection turned out to be dead before anything of the message was read. Nodemailer reports that, and a connection closed
 * before its greeting, by an ECONNECTION of the pool itself, without a command; only the former had a session.
 */
function isStale(error: unknown, progress: Progress): boolean {
  if (!progress.sessionReady || progress.bodyStarted || !(error instanceof Error)) return false;
  return 'code' in error && error.code === 'ECONNECTION' && !('command' in error) && !('response' in error);
}
