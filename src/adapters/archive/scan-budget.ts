/** Limits the work that the archives of one message may cause. */
export interface ScanBudget {
  /** Bytes inflated so far, and the cost of starting inflaters. */
  readonly spent: number;
  /** @throws {RangeError} when less is left; then nothing is spent */
  spend(bytes: number): void;
  /** @throws {RangeError} when there are too many entries */
  countEntry(): void;
}

/** More than twice the maximum size of a message. */
const MAX_SPENT = 64 * 1024 * 1024;
const MAX_ENTRIES = 10_000;

export function createScanBudget(): ScanBudget {
  let spent = 0;
  let entries = 0;
  return {
    get spent() {
      return spent;
    },
    spend(bytes) {
      if (spent + bytes > MAX_SPENT) throw new RangeError('the archives inflate to more than the budget');
      spent += bytes;
    },
    countEntry() {
      if (++entries > MAX_ENTRIES) throw new RangeError('the archives have too many entries');
    },
  };
}
