import type { Status } from '../../core/delivery/delivery.ts';
import { comparePositions, type ListPosition } from '../../core/delivery/delivery-query.ts';
import type { Signature } from '../../core/delivery/signature.ts';

const MIN_BEFORE_COMPACTION = 1024;

/** What the store updates with each change of a delivery. */
interface State {
  status: Status;
  /** Whether a recipient has bounced. */
  bounced: boolean;
}

/** A position, and what shows that the delivery there does not match a query. */
export interface Entry extends ListPosition, Signature, State {}

/**
 * The positions of all deliveries, sorted. Positions of dropped deliveries stay until they may make
 * up half of the list.
 */
export interface Timeline {
  add(position: ListPosition, state: State, signature: Signature): Entry;
  /** Returns the entry at a position, which must exist. */
  get(position: ListPosition): Entry;
  /** Iterates from the newest, or from the one before `after`, to the oldest. */
  newestFirst(after: ListPosition | null): Iterable<Readonly<Entry>>;
  /** Iterates from the oldest, or from the one after `after`, to the newest. */
  oldestFirst(after: ListPosition | null): Iterable<Readonly<Entry>>;
}

/** @param exists returns whether the store still has a delivery */
export function createTimeline(exists: (id: string) => boolean): Timeline {
  let positions: Entry[] = [];
  let compactAt = MIN_BEFORE_COMPACTION;

  function isBefore(index: number, position: ListPosition): boolean {
    const other = positions[index];
    return other !== undefined && comparePositions(other, position) < 0;
  }

  /** Returns the number of positions before this one. Fast for one of the newest. */
  function rank(position: ListPosition): number {
    let low = positions.length;
    let high = low;
    for (let step = 1; low > 0 && !isBefore(low - 1, position); step *= 2) {
      high = low - 1;
      low = Math.max(0, low - step);
    }
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(middle, position)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function compact() {
    positions = positions.filter((each) => exists(each.id));
    compactAt = Math.max(MIN_BEFORE_COMPACTION, 2 * positions.length);
  }

  return {
    add({ createdAt, id }, { status, bounced }, { high, low }) {
      if (positions.length >= compactAt) compact();
      const position = { createdAt, id, high, low, status, bounced };
      const index = rank(position);
      if (index === positions.length) positions.push(position);
      else positions.splice(index, 0, position);
      return position;
    },
    get(position) {
      const entry = positions[rank(position)];
      if (entry?.id !== position.id) throw new Error(`${position.id} is not in the timeline`);
      return entry;
    },
    // Neither copies the positions, which would be expensive. The caller must iterate without
    // pauses: a change of the list meanwhile would disturb it.
    *newestFirst(after) {
      for (let i = (after === null ? positions.length : rank(after)) - 1; i >= 0; i--) {
        const position = positions[i];
        if (position) yield position;
      }
    },
    *oldestFirst(after) {
      for (let i = after === null ? 0 : rank(after); i < positions.length; i++) {
        const position = positions[i];
        if (position && (after === null || comparePositions(position, after) > 0)) yield position;
      }
    },
  };
}
