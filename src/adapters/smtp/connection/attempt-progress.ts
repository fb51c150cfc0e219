import type { Readable } from 'node:stream';
import type { AttemptObserver } from '../../../core/ports/transport.ts';
import type { Progress } from '../errors/nodemailer-errors.ts';
import type { Deadlines } from '../server-options.ts';

/** Follows one attempt: how far it came, and when its time is up. */
export interface AttemptProgress {
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** The session is ready, and this is about to be sent. */
  watch<Stream extends Readable>(stream: Stream): Stream;
  abort(): void;
  end(): void;
}

export function trackAttempt(
  watch: AttemptObserver | undefined,
  { setupMs, bodyMs }: Deadlines,
): AttemptProgress {
  const controller = new AbortController();
  const progress = { sessionReady: false, bodyStarted: false, bodyEnded: false };
  const abort = () => controller.abort();
  let timer = setTimeout(abort, setupMs);
  return {
    signal: controller.signal,
    progress,
    watch(stream) {
      progress.sessionReady = true;
      watch?.messageStarted();
      stream.once('resume', () => {
        progress.bodyStarted = true;
        watch?.envelopeAccepted();
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
