/**
 * Maximum number of requests that begin together while mail is being sent. A batch costs less than
 * its requests one by one, since fewer of its writes wake another process.
 */
const MAX_BATCH = 32;
/**
 * Pause after a batch, as a multiple of the time that the batch took. More costs accepted messages,
 * less costs deliveries: `npm run bench -- flood`.
 */
const PAUSE_FACTOR = 5;

/**
 * Begins requests. While no mail is being sent, those that arrive in one turn of the event loop begin
 * together at its end, so that their responses are written in a row, too. While mail is being sent,
 * they begin in order and in batches, with a pause after each. So a flood of requests leaves most of
 * the event loop to deliveries. A request that comes alone still begins in its turn.
 */
export type RequestPacer = (begin: () => void) => void;

/** @param now in ms of the monotonic clock */
export function createRequestPacer(isSending: () => boolean, now = () => performance.now()): RequestPacer {
  const waiting: (() => void)[] = [];
  let isScheduled = false;
  let startedAt = 0;
  /** When the next batch may begin. */
  let nextAt = 0;

  function schedule() {
    isScheduled = true;
    const waitMs = isSending() ? nextAt - now() : 0;
    // A timer drops fractions of a ms, and may end early. Then the pause goes on.
    if (waitMs > 0) setTimeout(schedule, Math.ceil(waitMs));
    else beginThisTurn();
  }

  function beginThisTurn() {
    setImmediate(beginBatch);
    // Runs in the same turn, after the microtasks of the batch.
    setImmediate(endBatch);
  }

  function beginBatch() {
    startedAt = now();
    const count = isSending() ? MAX_BATCH : waiting.length;
    for (const begin of waiting.splice(0, count)) begin();
  }

  function endBatch() {
    const endedAt = now();
    nextAt = endedAt + (endedAt - startedAt) * PAUSE_FACTOR;
    isScheduled = false;
    if (waiting.length > 0) schedule();
  }

  return (begin) => {
    const mayBegin = isSending() && !isScheduled && now() >= nextAt;
    if (mayBegin) begin();
    else waiting.push(begin);
    if (!isScheduled) schedule();
  };
}
