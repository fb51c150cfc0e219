import type { Fault, Job, Outcome } from '../delivery/outcome.ts';

/** Hears how far an attempt has come. */
export interface AttemptObserver {
  /** A session is logged in, and the message goes out now. */
  messageStarted(): void;
  /** The server has answered to the envelope, and wants the message. */
  envelopeAccepted(): void;
}

/** The way out. */
export interface Transport {
  /**
   * One attempt. Never rejects: whatever happens is an Outcome. Never retries, save that a pooled connection found dead before anything
   * was read is replaced at once, and the next server is tried when one cannot be reached.
   */
  send(job: Job, watch?: AttemptObserver): Promise<Outcome>;
  /** Connects and logs in on a connection of its own, and sends nothing. Null if that worked. Never rejects. */
  verify(): Promise<Fault | null>;
  /** Ends connections that are free, until there are no more than so many in all; answers how many there are. */
  closeIdleConnections(atMost: number): number;
  /** Ends attempts that still run (their outcome says so) and closes idle connections. */
  close(): Promise<void>;
}
