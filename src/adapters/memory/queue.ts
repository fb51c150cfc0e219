import TinyQueue from 'tinyqueue';
import type { Priority } from '../../core/message.ts';
import type { Queue } from '../../core/ports.ts';

/** Node cannot set a timer further ahead than this. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface Entry {
  readonly id: string;
  readonly priority: Priority;
  /** On the clock of `performance.now()`. */
  readonly dueAt: number;
  readonly seq: number;
}

const byDueTime = (a: Entry, b: Entry) => a.dueAt - b.dueAt || a.seq - b.seq;
const byUrgency = (a: Entry, b: Entry) => rank(a) - rank(b) || byDueTime(a, b);
const rank = ({ priority }: Entry) => (priority === 'high' ? 0 : 1);

/** A Queue in memory: ids that are due in one heap, by urgency, the others in another, by time. */
export function createMemoryQueue(): Queue & { close(): void } {
  const known = new Map<string, Entry>();
  const due = new TinyQueue<Entry>([], byUrgency);
  const later = new TinyQueue<Entry>([], byDueTime);
  const takers = new Set<(id: string) => void>();
  let timer: NodeJS.Timeout | undefined;
  let seq = 0;

  function put(id: string, priority: Priority, afterMs: number) {
    const entry = { id, priority, dueAt: performance.now() + Math.max(0, afterMs), seq: seq++ };
    known.set(id, entry);
    if (afterMs > 0) {
      later.push(entry);
      if (later.peek() === entry) arm();
    } else {
      due.push(entry);
      hand();
    }
  }

  function hand() {
    for (const taker of takers) {
      const entry = due.pop();
      if (!entry) return;
      takers.delete(taker);
      taker(entry.id);
    }
  }

  function promote() {
    const now = performance.now();
    for (let next = later.peek(); next && next.dueAt <= now; next = later.peek()) {
      later.pop();
      due.push(next);
    }
    hand();
    arm();
  }

  function arm() {
    clearTimeout(timer);
    const next = later.peek();
    if (!next) return;
    timer = setTimeout(promote, Math.min(LONGEST_TIMER_MS, Math.max(0, Math.ceil(next.dueAt - performance.now()))));
  }

  return {
    async push(id, { afterMs, priority }) {
      if (!known.has(id)) put(id, priority, afterMs);
    },
    take(signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const entry = due.pop();
        if (entry) return resolve(entry.id);
        const taker = (id: string) => {
          signal.removeEventListener('abort', leave);
          resolve(id);
        };
        const leave = () => {
          takers.delete(taker);
          reject(signal.reason);
        };
        signal.addEventListener('abort', leave, { once: true });
        takers.add(taker);
      });
    },
    async done(id) {
      known.delete(id);
    },
    async retry(id, afterMs) {
      const entry = known.get(id);
      if (entry) put(id, entry.priority, afterMs);
    },
    close() {
      clearTimeout(timer);
    },
  };
}
