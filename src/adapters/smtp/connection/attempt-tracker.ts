import type { AttemptObserver } from '../../../core/ports/transport.ts';
import type { AttemptProgress } from '../errors/nodemailer-errors.ts';
import type { Deadlines } from '../server-options.ts';
import type { TransactionObserver } from './transaction.ts';

/** Records the progress of one attempt and enforces its deadlines. */
export interface AttemptTracker extends TransactionObserver {
  readonly progress: AttemptProgress;
  readonly isAborted: boolean;
  /**
   * Called when a deadline passes or `abort` is called; at once if that has happened. Null:
   * nothing.
   */
  setAbortHandler(handler: (() => void) | null): void;
  /** The message is about to be sent on a session that is ready. */
  sessionReady(): void;
  abort(): void;
  /** Clears the timer. Must be called when the attempt has ended. */
  end(): void;
}

export function trackAttempt(
  observer: AttemptObserver | undefined,
  { setupMs, bodyMs }: Deadlines,
): AttemptTracker {
  const progress = { sessionReady: false, bodyStarted: false, bodyEnded: false };
  let isAborted = false;
  let handler: (() => void) | null = null;
  const abort = () => {
    isAborted = true;
    handler?.();
  };
  let timer = setTimeout(abort, setupMs);
  return {
    progress,
    get isAborted() {
      return isAborted;
    },
    setAbortHandler(next) {
      handler = next;
      if (isAborted) handler?.();
    },
    sessionReady() {
      progress.sessionReady = true;
      observer?.messageStarted();
    },
    bodyStarted() {
      progress.bodyStarted = true;
      observer?.envelopeAccepted();
      clearTimeout(timer);
      timer = setTimeout(abort, bodyMs);
    },
    bodyEnded() {
      progress.bodyEnded = true;
    },
    abort,
    end: () => clearTimeout(timer),
  };
}
