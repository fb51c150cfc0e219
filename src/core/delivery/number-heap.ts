/** Numbers, of which the smallest is known. A number can be in it several times. */
export interface NumberHeap {
  add(value: number): void;
  /** Removes a number that was added. */
  remove(value: number): void;
  /** The smallest number, or undefined. */
  min(): number | undefined;
}

/** Number of removed numbers that are always tolerated. */
const MIN_REMOVED = 1000;

/**
 * Creates an empty heap of numbers. Removed numbers stay in it until they are the smallest, and a
 * second heap holds them meanwhile. When they are half of all, they are dropped, so that a small
 * number that stays does not keep them forever.
 */
export function createNumberHeap(): NumberHeap {
  let added: number[] = [];
  let removed: number[] = [];

  function dropRemoved() {
    removed.sort(ascending);
    let next = 0;
    // A sorted array is a heap.
    added = added.sort(ascending).filter((value) => {
      if (value !== removed[next]) return true;
      next += 1;
      return false;
    });
    removed = [];
  }

  return {
    add: (value) => push(added, value),
    remove(value) {
      push(removed, value);
      while (removed.length > 0 && removed[0] === added[0]) {
        pop(added);
        pop(removed);
      }
      if (removed.length > MIN_REMOVED && removed.length > added.length / 2) dropRemoved();
    },
    min: () => added[0],
  };
}

function ascending(a: number, b: number): number {
  return a - b;
}

/** Adds a number to a binary heap: no number is smaller than its parent, at half its index. */
function push(heap: number[], value: number): void {
  let at = heap.push(value) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] ?? value;
    if (above <= value) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = value;
}

/** Removes the smallest number. */
function pop(heap: number[]): void {
  const last = heap.pop();
  if (last === undefined || heap.length === 0) return;
  let at = 0;
  for (;;) {
    const left = 2 * at + 1;
    const child = (heap[left + 1] ?? Number.POSITIVE_INFINITY) < (heap[left] ?? last) ? left + 1 : left;
    const below = heap[child];
    if (below === undefined || below >= last) break;
    heap[at] = below;
    at = child;
  }
  heap[at] = last;
}
