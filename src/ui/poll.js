import { ApiError, ConnectionError } from './api.js';

/** @import { RateLimit } from './api.js' */

/** Share of RATE_LIMIT that the page may use. Other clients can share the key. */
const SHARE = 0.1;
/** Below this share of what the window allows, polling waits for the next window. */
const LOW = 0.25;
const FIRST_RETRY_S = 2;
const MAX_RETRY_S = 60;

/**
 * The state of polling, for the user.
 *
 * @typedef {{ kind: 'ok' }
 *   | { kind: 'lost' | 'failing' | 'limited', detail: string, retryAt: number }} Connection
 */

/**
 * @typedef {object} PollOptions
 * @property {number | (() => number)} everyS Seconds between two runs, or more if RATE_LIMIT is low.
 * @property {number} [cost] Requests of one run.
 */

/**
 * @typedef {object} Poller
 * @property {(run: (signal: AbortSignal) => Promise<void>, options: PollOptions) => Polling} start
 *   Runs at once, and again and again while the tab is visible.
 * @property {() => void} retry Runs everything now.
 */

/**
 * @typedef {object} Polling
 * @property {() => void} now Runs at once, in place of the next run.
 * @property {() => void} stop
 */

/**
 * Creates a poller that keeps within the rate limit and backs off on errors.
 *
 * @param {object} options
 * @param {() => RateLimit | null} options.rateLimit
 * @param {(connection: Connection) => void} options.onChange
 * @returns {Poller}
 */
export function createPoller({ rateLimit, onChange }) {
  /** @type {Set<Polling>} */
  const running = new Set();
  let failures = 0;

  /**
   * @param {unknown} error
   * @returns {number} Seconds until the next run.
   */
  function backOff(error) {
    if (error instanceof ApiError && error.status === 429) {
      const seconds = error.retryAfter ?? MAX_RETRY_S;
      report('limited', 'This key has reached its rate limit.', seconds);
      return seconds;
    }
    failures += 1;
    const usual = Math.min(MAX_RETRY_S, FIRST_RETRY_S * 2 ** (failures - 1));
    const seconds = error instanceof ApiError ? Math.max(usual, error.retryAfter ?? 0) : usual;
    const kind = error instanceof ConnectionError ? 'lost' : 'failing';
    report(kind, error instanceof Error ? error.message : String(error), seconds);
    return seconds;
  }

  /**
   * @param {'lost' | 'failing' | 'limited'} kind
   * @param {string} detail
   * @param {number} seconds
   */
  function report(kind, detail, seconds) {
    onChange({ kind, detail, retryAt: Date.now() + seconds * 1000 });
  }

  /** @type {Poller['start']} */
  function start(run, { everyS, cost = 1 }) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    /** @type {AbortController | null} */
    let current = null;
    let stopped = false;
    let dueAt = 0;

    async function step() {
      clearTimeout(timer);
      if (stopped || document.hidden) return;
      current?.abort();
      const own = new AbortController();
      current = own;
      let waitS = 0;
      try {
        await run(own.signal);
        if (own.signal.aborted) return;
        failures = 0;
        onChange({ kind: 'ok' });
        waitS = Math.max(typeof everyS === 'function' ? everyS() : everyS, pace(rateLimit(), cost));
      } catch (error) {
        if (own.signal.aborted) return;
        // The key is rejected: the page asks for another.
        if (error instanceof ApiError && error.status === 401) return polling.stop();
        waitS = backOff(error);
      }
      current = null;
      dueAt = Date.now() + waitS * 1000;
      schedule();
    }

    function schedule() {
      clearTimeout(timer);
      if (!stopped && !document.hidden && current === null)
        timer = setTimeout(step, Math.max(0, dueAt - Date.now()));
    }

    const polling = {
      now: () => void step(),
      stop() {
        stopped = true;
        clearTimeout(timer);
        current?.abort();
        running.delete(polling);
        document.removeEventListener('visibilitychange', schedule);
      },
    };
    document.addEventListener('visibilitychange', schedule);
    running.add(polling);
    void step();
    return polling;
  }

  return {
    start,
    retry() {
      for (const polling of running) polling.now();
    },
  };
}

/**
 * Returns the seconds that a run of `cost` requests must wait for the page to use no more than its
 * share of the limit.
 *
 * @param {RateLimit | null} limit
 * @param {number} cost
 */
export function pace(limit, cost) {
  if (limit === null) return 0;
  const fair = (cost * limit.windowS) / (limit.max * SHARE);
  return limit.left < limit.max * LOW ? Math.max(fair, limit.endsInS) : fair;
}
