const MIN_INSERTS = 5;
const INSERTS_PER_SYNC_MS = 10;
/** How long deliveries count as changing after a change, in ms. */
const CHANGING_MS = 50;

/**
 * While deliveries change, few inserts are under way at once, so that a flood of requests does not
 * make the transactions of the changes long (`npm run bench -- flood`). A slow disk gets more: its
 * syncs are long anyway.
 */
export interface InsertPacer {
  /**
   * Returns how many inserts may begin now.
   *
   * @param syncMs shortest duration of a sync lately, in ms
   */
  room(syncMs: number): number;
  begin(count: number): void;
  end(): void;
  deliveryChanged(): void;
}

export function createInsertPacer(): InsertPacer {
  let underWay = 0;
  /** In ms of the monotonic clock. */
  let changedAt = Number.NEGATIVE_INFINITY;

  return {
    room(syncMs) {
      if (performance.now() - changedAt > CHANGING_MS) return Number.POSITIVE_INFINITY;
      return Math.max(0, Math.max(MIN_INSERTS, syncMs * INSERTS_PER_SYNC_MS) - underWay);
    },
    begin(count) {
      underWay += count;
    },
    end() {
      underWay -= 1;
    },
    deliveryChanged() {
      changedAt = performance.now();
    },
  };
}
