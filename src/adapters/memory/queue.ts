import TinyQueue from 'tinyqueue';
import type { Priority } from '../../core/message/message.ts';
import type { Queue } from '../../core/ports/queue.ts';

/** Maximum delay of a timer in Node. */
const MAX_TIMER_MS = 2 ** 31 - 1;

interface Entry {
  readonly id: string;
  readonly channel: string;
  readonly priority: Priority;
  /** By `performance.now()`. */
  readonly dueAt: number;
  readonly seq: number;
}

type PushOptions = Parameters<Queue['push']>[1];

const byDueTime = (a: Entry, b: Entry) => a.dueAt - b.dueAt || a.seq - b.seq;
const byUrgency = (a: Entry, b: Entry) => rank(a) - rank(b) || byDueTime(a, b);
const rank = ({ priority }: Entry) => (priority === 'high' ? 0 : 1);

interface Channel {
  readonly due: TinyQueue<Entry>;
  readonly takers: Set<(id: string) => void>;
}

/**
 * Creates a Queue in memory. Each channel has a heap of its due ids by urgency. One heap for all
 * channels holds the ids that are not due yet, by time.
 */
export function createMemoryQueue(): Queue & { close(): void } {
  /**
   * The valid entry of each id, taken or waiting. An entry in a heap that is not in this map is
   * stale: its id was rescheduled or is done.
   */
  const current = new Map<string, Entry>();
  const taken = new Set<Entry>();
  /** Ids that were pushed while they were taken. */
  const pushedAgain = new Map<string, PushOptions>();
  const channels = new Map<string, Channel>();
  const later = new TinyQueue<Entry>([], byDueTime);
  let timer: NodeJS.Timeout | undefined;
  let seq = 0;

  function channelOf(name: string): Channel {
    let channel = channels.get(name);
    if (channel === undefined) {
      channel = { due: new TinyQueue<Entry>([], byUrgency), takers: new Set() };
      channels.set(name, channel);
    }
    return channel;
  }

  function put(id: string, { channel, priority, afterMs }: PushOptions) {
    const entry = { id, channel, priority, dueAt: performance.now() + Math.max(0, afterMs), seq: seq++ };
    current.set(id, entry);
    if (afterMs > 0) {
      later.push(entry);
      if (later.peek() === entry) scheduleTimer();
    } else {
      makeDue(entry);
    }
  }

  function makeDue(entry: Entry) {
    const { due, takers } = channelOf(entry.channel);
    due.push(entry);
    for (const taker of takers) {
      const id = takeNext(due);
      if (id === null) return;
      takers.delete(taker);
      taker(id);
    }
  }

  function takeNext(due: TinyQueue<Entry>): string | null {
    for (let entry = due.pop(); entry; entry = due.pop()) {
      if (current.get(entry.id) !== entry) continue;
      taken.add(entry);
      return entry.id;
    }
    return null;
  }

  /** Moves ids that have become due to their channels. */
  function promote() {
    const now = performance.now();
    for (let first = later.peek(); first && first.dueAt <= now; first = later.peek()) {
      later.pop();
      makeDue(first);
    }
    scheduleTimer();
  }

  function scheduleTimer() {
    clearTimeout(timer);
    const first = later.peek();
    if (!first) return;
    const delayMs = Math.max(0, Math.ceil(first.dueAt - performance.now()));
    timer = setTimeout(promote, Math.min(MAX_TIMER_MS, delayMs));
  }

  return {
    async push(id, options) {
      const entry = current.get(id);
      if (!entry) put(id, options);
      else if (taken.has(entry)) pushedAgain.set(id, options);
    },
    take(name, signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const { due, takers } = channelOf(name);
        const id = takeNext(due);
        if (id !== null) return resolve(id);
        const taker = (dueId: string) => {
          signal.removeEventListener('abort', onAbort);
          resolve(dueId);
        };
        const onAbort = () => {
          takers.delete(taker);
          reject(signal.reason);
        };
        signal.addEventListener('abort', onAbort, { once: true });
        takers.add(taker);
      });
    },
    async done(id) {
      const entry = current.get(id);
      if (entry) taken.delete(entry);
      current.delete(id);
      const again = pushedAgain.get(id);
      pushedAgain.delete(id);
      if (again) put(id, again);
    },
    async retry(id, channel, afterMs, to = channel) {
      const entry = current.get(id);
      if (!entry) return;
      taken.delete(entry);
      pushedAgain.delete(id);
      put(id, { channel: to, priority: entry.priority, afterMs });
    },
    async reschedule(id, channel, afterMs) {
      const entry = current.get(id);
      if (entry && !taken.has(entry)) put(id, { channel, priority: entry.priority, afterMs });
    },
    async bringForward(id, channel, afterMs) {
      const entry = current.get(id);
      if (!entry || taken.has(entry) || entry.dueAt <= performance.now() + afterMs) return;
      put(id, { channel, priority: entry.priority, afterMs });
    },
    close() {
      clearTimeout(timer);
    },
  };
}
