import type { Readable } from 'node:stream';
import type { AttemptObserver } from '../../../core/ports/transport.ts';
import type { AttemptProgress } from '../errors/nodemailer-errors.ts';
import type { Deadlines } from '../server-options.ts';

/** Records the progress of one attempt and enforces its deadlines. */
export interface AttemptTracker {
  /** Aborted when a deadline passes or `abort` is called. */
  readonly signal: AbortSignal;
  readonly progress: AttemptProgress;
  /**
   * Tracks the message stream, which is about to be sent on a session that is ready. Returns the
   * same stream.
   */
  track<Stream extends Readable>(stream: Stream): Stream;
  abort(): void;
  /** Clears the timer. Must be called when the attempt has ended. */
  end(): void;
}

export function trackAttempt(
  observer: AttemptObserver | undefined,
  { setupMs, bodyMs }: Deadlines,
): AttemptTracker {
  const controller = new AbortController();
  const progress = { sessionReady: false, bodyStarted: false, bodyEnded: false };
  const abort = () => controller.abort();
  let timer = setTimeout(abort, setupMs);
  return {
    signal: controller.signal,
    progress,
    track(stream) {
      progress.sessionReady = true;
      observer?.messageStarted();
      stream.once('resume', () => {
        progress.bodyStarted = true;
        observer?.envelopeAccepted();
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
