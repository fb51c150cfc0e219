import { HOUR, MINUTE } from '../../src/core/time.ts';
import { WINDOW_MS } from '../../src/core/usage.ts';

const SENT_AGO_MS = [23 * HOUR, 23 * HOUR - MINUTE, HOUR, 0];

/** One bucket for each minute in which mail was sent: four messages, eight recipients. */
function formerUsage(now: number) {
  const buckets = SENT_AGO_MS.map((agoMs) => ({
    messages: 1,
    recipients: 2,
    leavesAt: Math.ceil(now) - agoMs + MINUTE + WINDOW_MS,
  }));
  return { countedSince: now - 23 * HOUR, buckets, used: { messages: 4, recipients: 8 } };
}

/**
 * The value of an account as version 0.1 stored it, after Gmail has reported the daily limit, and
 * one attempt was under way when its process died. Recorded with the code of version 0.1, times
 * moved to `now`.
 */
export function formerAccountValue(now: number) {
  return {
    gate: {
      state: 'paused',
      paused: {
        error: {
          code: 'daily_limit_reached',
          scope: 'account',
          detail: 'Daily user sending limit exceeded.',
          hint: 'Wait.',
          smtp: { code: 550, enhanced: '5.4.5', response: 'Daily user sending limit exceeded.' },
        },
        since: 1_764_000_000_000,
        until: now + HOUR,
      },
      failures: 1,
    },
    quota: { ...formerUsage(now), learned: { messages: 4, recipients: 8, tryAt: now + HOUR } },
    pace: { nextAt: now + 102, seen: [now - 1.5] },
    concurrency: { slowdown: { limit: 2, quickUpTo: 2, streak: 3 } },
    members: {
      '5f1d3c9e-0b1a-4a55-9a33-0d6d1f6b7a10': {
        seats: 3,
        until: 9_008_963_254_740_992,
        messages: 1,
        recipients: 3,
        starting: 1,
      },
    },
    probe: '5f1d3c9e-0b1a-4a55-9a33-0d6d1f6b7a10',
    askedAt: 0,
  };
}

/** The value of an API key as version 0.1 stored it, after four messages. */
export function formerKeyValue(now: number) {
  return { ...formerUsage(now), learned: null };
}
