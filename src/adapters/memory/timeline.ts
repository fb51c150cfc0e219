import type { ListPosition } from '../../core/delivery/delivery-query.ts';

const MIN_BEFORE_COMPACTION = 1024;

/** The places of all deliveries, in order. It holds on to those that are gone until there are as many as of the others. */
export interface Timeline {
  add(place: ListPosition): void;
  /** From the newest, or from the one before `after`, to the oldest. */
  newestFirst(after: ListPosition | null): Iterable<ListPosition>;
}

/** @param isKept whether there still is such a delivery */
export function createTimeline(isKept: (id: string) => boolean): Timeline {
  let positions: ListPosition[] = [];
  let compactAt = MIN_BEFORE_COMPACTION;

  /** How many places come before this one. */
  function rank(place: ListPosition): number {
    let low = 0;
    let high = positions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = positions[middle];
      if (other && compare(other, place) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  return {
    add({ createdAt, id }) {
      const place = { createdAt, id };
      const last = positions.at(-1);
      if (last === undefined || compare(last, place) < 0) positions.push(place);
      else positions.splice(rank(place), 0, place);
      if (positions.length < compactAt) return;
      positions = positions.filter((known) => isKept(known.id));
      compactAt = Math.max(MIN_BEFORE_COMPACTION, 2 * positions.length);
    },
    *newestFirst(after) {
      // A copy would cost too much; what is added or compacted meanwhile does not disturb a walk without pauses.
      for (let i = (after === null ? positions.length : rank(after)) - 1; i >= 0; i--) {
        const place = positions[i];
        if (place) yield place;
      }
    },
  };
}

function compare(a: ListPosition, b: ListPosition): number {
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}
