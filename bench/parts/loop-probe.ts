import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Measures how long the event loop of this process is blocked. */
export interface LoopProbe {
  /** Starts a new measurement. */
  reset(): void;
  /** Returns the longest pause since the last reset, in ms. */
  longestPauseMs(): number;
}

/** How often the loop is observed, in ms. A pause is measured with this precision. */
const RESOLUTION_MS = 1;
const NS_PER_MS = 1e6;

export function startLoopProbe(): LoopProbe {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  return {
    reset: () => delay.reset(),
    longestPauseMs: () => delay.max / NS_PER_MS,
  };
}
