/** Numbers, of which the smallest is known. A number can be in it several times. */
export interface NumberHeap {
  add(value: number): void;
  /** Removes a number that was added. */
  remove(value: number): void;
  /** The smallest number, or undefined. */
  min(): number | undefined;
}

/**
 * Creates an empty heap of numbers. Removed numbers stay in it until they are the smallest, and a
 * second heap holds them meanwhile.
 */
export function createNumberHeap(): NumberHeap {
  const added: number[] = [];
  const removed: number[] = [];
  return {
    add: (value) => push(added, value),
    remove(value) {
      push(removed, value);
      while (removed.length > 0 && removed[0] === added[0]) {
        pop(added);
        pop(removed);
      }
    },
    min: () => added[0],
  };
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
