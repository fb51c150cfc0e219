/**
 * Loaded into a program that is measured (`node --import`): reports what the program uses over the
 * IPC channel to the bench. The program runs unchanged.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';
import { answerQuestions } from './children.ts';

/** Resources that the process has used since its start, all threads together. */
export interface Usage {
  readonly cpuMs: number;
  /** Resident memory now. */
  readonly rssBytes: number;
  /** Peak resident memory so far. */
  readonly peakBytes: number;
}

function probe() {
  const monotonicNow = performance.now.bind(performance);
  let passedMs = 0;
  performance.now = () => monotonicNow() + passedMs;
  const loopDelay = monitorEventLoopDelay({ resolution: 1 });

  answerQuestions('ready', {
    /** Bytes in use after a full collection, on and off the heap. */
    memory() {
      globalThis.gc?.();
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    },
    /** Moves the monotonic clock of the main thread on. Timers stay. */
    passTime(ms: number) {
      passedMs += ms;
    },
    usage(): Usage {
      const { user, system } = process.cpuUsage();
      return {
        cpuMs: (user + system) / 1000,
        rssBytes: process.memoryUsage.rss(),
        peakBytes: process.resourceUsage().maxRSS * 1024,
      };
    },
    watchLoop() {
      loopDelay.reset();
      loopDelay.enable();
    },
    /** The longest time for which the event loop ran no timer since `watchLoop`, in ms. */
    worstPause() {
      loopDelay.disable();
      return loopDelay.max / 1e6;
    },
  });
}

// Worker threads load this file, too.
if (isMainThread) probe();
