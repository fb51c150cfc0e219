import type { Fault, Job, Outcome } from '../delivery/outcome.ts';

/** Observes the progress of an attempt. */
export interface AttemptObserver {
  /** Called when a session is logged in and the message is about to be sent. */
  messageStarted(): void;
  /** Called when the server has replied to the envelope and accepts the message. */
  envelopeAccepted(): void;
}

/** Sends mail. */
export interface Transport {
  /**
   * Makes one attempt. Never rejects: any result is an Outcome.
   *
   * Never retries, with two exceptions. A pooled connection found dead before anything was read is
   * replaced at once, and the next server is tried when one cannot be reached.
   */
  send(job: Job, watch?: AttemptObserver): Promise<Outcome>;
  /**
   * Connects and logs in on a separate connection, and sends nothing. Null on success. Never
   * rejects.
   */
  verify(): Promise<Fault | null>;
  /**
   * Closes idle connections until at most `atMost` connections are open, busy ones included.
   * Returns the number that are open.
   */
  closeIdleConnections(atMost: number): number;
  /** Ends running attempts, as their outcomes report, and closes idle connections. */
  close(): Promise<void>;
}
