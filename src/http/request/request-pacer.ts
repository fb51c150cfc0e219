/**
 * Requests that begin in one turn of the event loop while mail is being sent. More of them cost
 * deliveries, fewer cost accepted messages. With 2, a flood from 64 connections leaves deliveries
 * half of their rate (`npm run bench -- flood`); with 4, a third.
 */
const REQUESTS_PER_TURN = 2;

/**
 * Begins requests: at once while no mail is being sent, else a few per turn of the event loop, in
 * order. So a flood of requests does not starve deliveries, which need many turns each.
 */
export type RequestPacer = (begin: () => void) => void;

export function createRequestPacer(isSending: () => boolean): RequestPacer {
  let waiting: (() => void)[] = [];
  let begun = 0;
  let isScheduled = false;

  function schedule() {
    if (isScheduled) return;
    isScheduled = true;
    setImmediate(beginNext);
  }

  function beginNext() {
    isScheduled = false;
    const next = waiting.slice(0, REQUESTS_PER_TURN);
    waiting = waiting.slice(REQUESTS_PER_TURN);
    begun = next.length;
    if (begun > 0) schedule();
    for (const begin of next) begin();
  }

  return (begin) => {
    if (waiting.length > 0 || begun >= REQUESTS_PER_TURN) {
      waiting.push(begin);
      return;
    }
    if (isSending()) {
      begun += 1;
      schedule();
    }
    begin();
  };
}
