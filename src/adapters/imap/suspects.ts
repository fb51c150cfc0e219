/**
 * Mails of one mailbox during whose reading the connection failed. A mail that the server cannot
 * serve must not keep those after it from being read.
 */
export interface Suspects {
  /** Reads mails. They become suspects if that fails. */
  during<T>(uids: readonly number[], read: () => Promise<T>): Promise<T>;
  /** Whether a mail must be read apart from others. */
  isSuspect(uid: number): boolean;
  /** Whether a mail is skipped, because reading it has failed {@link MAX_FAILURES} times. */
  isGivenUp(uid: number): boolean;
  /** Forgets the suspects: the mailbox was read to its end. */
  clear(): void;
}

const MAX_FAILURES = 3;

export function createSuspects(): Suspects {
  const failures = new Map<number, number>();

  return {
    async during(uids, read) {
      try {
        return await read();
      } catch (error) {
        for (const uid of uids) failures.set(uid, (failures.get(uid) ?? 0) + 1);
        throw error;
      }
    },
    isSuspect: (uid) => failures.has(uid),
    isGivenUp: (uid) => (failures.get(uid) ?? 0) >= MAX_FAILURES,
    clear: () => failures.clear(),
  };
}
