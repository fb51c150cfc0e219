/** One line of a report. */
export interface DoctorCheck {
  readonly id: string;
  readonly name: string;
  readonly status: 'pass' | 'warn' | 'fail' | 'skip';
  readonly target: string;
  readonly detail: string;
  readonly code: string | null;
  readonly advice: string | null;
  readonly duration_ms: number;
}

/** A report of the doctor, in the form that `outtray doctor --json` prints. */
export interface DoctorReport {
  readonly ok: boolean;
  readonly version: string;
  /** The failed check to fix first. */
  readonly first: Pick<DoctorCheck, 'id' | 'name' | 'target' | 'advice'> | null;
  readonly checks: readonly DoctorCheck[];
}

/** What only the running service knows, for a report made by it. */
export interface RunningService {
  /** Whether another login would extend a lock of Gmail. */
  isLoginLocked(user: string): boolean;
  isQueueAvailable(): boolean;
  /**
   * Returns the messages that a From domain has sent to personal Gmail accounts in 24 h.
   *
   * @throws {AppError} `queue_unavailable`
   */
  readGmailVolume(domain: string): Promise<number>;
}

/** Makes a report. Sends nothing, and logs in at most once per account. */
export type MakeReport = (service: RunningService) => Promise<DoctorReport>;
