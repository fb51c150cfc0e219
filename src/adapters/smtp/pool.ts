import type { Readable } from 'node:stream';
import { rootCertificates } from 'node:tls';
import { createTransport } from 'nodemailer';
import type { SMTPPoolSentMessageInfo } from 'nodemailer/lib/smtp-pool';
import type { Job } from '../../core/ports.ts';
import type { Progress } from './failure.ts';
import { assertEnvelope, toMail } from './mime.ts';
import { parseReply } from './reply-text.ts';

/** Our own limits on an attempt, in ms: nodemailer's socket timeout never cuts a server that trickles. */
export interface Deadlines {
  readonly dnsMs: number;
  /** TCP and TLS. */
  readonly connectMs: number;
  readonly greetingMs: number;
  /** From the start of the attempt until the body goes out. */
  readonly setupMs: number;
  /** From the start of the body until the final reply (RFC 5321, 4.5.3.2: 10 minutes for the reply alone). */
  readonly bodyMs: number;
}

export const DEADLINES: Deadlines = { dnsMs: 5000, connectMs: 15_000, greetingMs: 10_000, setupMs: 60_000, bodyMs: 600_000 };

export interface PoolOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: 'starttls' | 'implicit' | 'never';
  /** Never used where `tls` is `never`. */
  readonly auth: { readonly user: string; readonly pass: string } | null;
  readonly connections: number;
  /** What EHLO says: a dotted host name, since smtp-relay.gmail.com refuses an address literal. */
  readonly ehloName: string;
  /** A CA to trust besides those of Node, as PEM. */
  readonly ca: string | null;
  readonly deadlines: Deadlines;
}

/** How one use of a connection went. */
export type PoolResult =
  | { readonly info: SMTPPoolSentMessageInfo; readonly progress: Progress }
  | { readonly error: unknown; readonly progress: Progress; readonly stale: boolean };

export interface Pool {
  readonly server: string;
  /** Sends on a free or a new connection. Never rejects. Must not be called more often at once than there are connections. */
  send(job: Job, onSession: () => void): Promise<PoolResult>;
  /** Closes idle connections at once and aborts what still runs. */
  close(): void;
}

/** The connections to one server: each is a nodemailer pool of its own, so that one can be given up without the others. */
export function openPool(options: PoolOptions): Pool {
  const tracks: Tracks = new WeakMap();
  const running = new Set<Track>();
  const idle: Mailer[] = [];
  let closed = false;

  return {
    server: `${options.host}:${options.port}`,
    async send(job, onSession) {
      const mailer = idle.pop() ?? openMailer(options, tracks);
      const track = createTrack(job, onSession, options.deadlines);
      const { signal, progress } = track;
      tracks.set(signal, track);
      running.add(track);
      if (closed) track.abort();
      let inStep = false;
      try {
        const info = await mailer.sendMail({ ...toMail(job), signal });
        inStep = isAcceptance(info, progress);
        return inStep ? { info, progress } : { error: toGarbage(info), progress, stale: false };
      } catch (error) {
        inStep = isRefusal(error, progress);
        return { error, progress, stale: isStale(error, progress) };
      } finally {
        track.end();
        running.delete(track);
        // Out of step, the server may take RSET and what follows for lines of a message: nodemailer would go on, even to the dot.
        if (inStep && !closed) idle.push(mailer);
        else mailer.close({ force: true });
      }
    },
    close() {
      closed = true;
      for (const track of running) track.abort();
      for (const mailer of idle) mailer.close({ force: true });
    },
  };
}

type Tracks = WeakMap<AbortSignal, Track>;
type Mailer = ReturnType<typeof openMailer>;

/** A nodemailer pool of one connection, with its silent retries off. */
function openMailer({ host, port, tls, auth, ehloName, ca, deadlines }: PoolOptions, tracks: Tracks) {
  const mailer = createTransport({
    pool: true,
    maxConnections: 1,
    maxRequeues: 0,
    host,
    port,
    name: ehloName,
    secure: tls === 'implicit',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'never',
    auth: tls === 'never' || !auth ? undefined : { ...auth, method: 'PLAIN' },
    // Without it, a server that does not offer AUTH would get the message without a login.
    forceAuth: tls !== 'never' && auth !== null,
    tls: { minVersion: 'TLSv1.2', ...(ca ? { ca: [...rootCertificates, ca] } : {}) },
    dnsTimeout: deadlines.dnsMs,
    connectionTimeout: deadlines.connectMs,
    greetingTimeout: deadlines.greetingMs,
    socketTimeout: deadlines.bodyMs,
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

function createTrack(job: Job, onSession: () => void, { setupMs, bodyMs }: Deadlines): Track {
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
      onSession();
      stream.once('resume', () => {
        progress.bodyStarted = true;
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
