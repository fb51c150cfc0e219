/** How much work the archives of one message may cause. */
export interface ScanBudget {
  /** Bytes that have come out of decompression so far, and what it took to start. */
  readonly spent: number;
  /** @throws {RangeError} when there is not as much left; nothing is spent then */
  spend(bytes: number): void;
  /** @throws {RangeError} when it is one entry too many */
  countEntry(): void;
}

/** More than twice what one message may carry. */
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
      if (spent + bytes > MAX_SPENT) throw new RangeError('The archives inflate to more than is looked at');
      spent += bytes;
    },
    countEntry() {
      if (++entries > MAX_ENTRIES) throw new RangeError('The archives have more entries than are looked at');
    },
  };
}
