import { setTimeout as delay } from 'node:timers/promises';
import { BACKOFF_MS, backoffStep, withJitter } from '../dispatch/backoff.ts';
import type { WebhookResult } from '../ports/webhook-sender.ts';
import { HOUR } from '../time.ts';

/** Calls per alert. With the waits between them, an alert is given up after about 45 minutes. */
const MAX_CALLS = 6;
/** A longer Retry-After is not honored: the alert would be outdated. */
const MAX_WAIT_MS = HOUR;
/** Maximum number of alerts that wait. */
const MAX_WAITING = 100;

/** A message to the operator, as plain text. */
export interface Alert {
  readonly title: string;
  readonly lines: readonly string[];
}

export interface AlertQueueOptions {
  /** Makes one call, with a deadline. Never rejects. */
  readonly post: (alert: Alert) => Promise<WebhookResult>;
  /** A call failed. It is repeated unless the alert is also dropped. */
  readonly onFailed: (alert: Alert, reason: string, calls: number) => void;
  readonly onDropped: (alert: Alert, reason: string) => void;
  /** Multiplies every wait: 1, or less in tests. */
  readonly backoffScale: number;
  /** Returns a number from 0 to 1, for jitter. */
  readonly random: () => number;
}

/** Delivers alerts in their order, one call at a time. Keeps them in memory. */
export interface AlertQueue {
  /** Resolves to whether the alert was delivered: false if it was dropped. */
  add(alert: Alert): Promise<boolean>;
  /** Makes no more calls and drops what waits. Resolves when the call under way has ended. */
  drain(): Promise<void>;
}

export function createAlertQueue({
  post,
  onFailed,
  onDropped,
  backoffScale,
  random,
}: AlertQueueOptions): AlertQueue {
  const waiting: { readonly alert: Alert; readonly settle: (isDelivered: boolean) => void }[] = [];
  const stopping = new AbortController();
  let running: Promise<void> | null = null;

  async function run(): Promise<void> {
    for (let next = waiting[0]; next; next = waiting[0]) {
      next.settle(stopping.signal.aborted ? drop(next.alert, 'Outtray stopped') : await deliver(next.alert));
      waiting.shift();
    }
    running = null;
  }

  function drop(alert: Alert, reason: string): false {
    onDropped(alert, reason);
    return false;
  }

  async function deliver(alert: Alert): Promise<boolean> {
    for (let calls = 1; ; calls += 1) {
      const result = await post(alert);
      if (result.kind === 'taken') return true;
      const { reason, retryAfterMs } =
        result.kind === 'failed' ? result : { reason: 'HTTP 410', retryAfterMs: null };
      onFailed(alert, reason, calls);
      if (calls === MAX_CALLS) return drop(alert, 'the endpoint did not accept it');
      const usualMs = withJitter(backoffStep(BACKOFF_MS, calls), random);
      const waitMs = Math.min(MAX_WAIT_MS, Math.max(usualMs, retryAfterMs ?? 0)) * backoffScale;
      await delay(waitMs, undefined, { ref: false, signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return drop(alert, 'Outtray stopped');
    }
  }

  return {
    async add(alert) {
      if (waiting.length >= MAX_WAITING) return drop(alert, 'too many alerts wait');
      const { promise, resolve } = Promise.withResolvers<boolean>();
      waiting.push({ alert, settle: resolve });
      running ??= run();
      return promise;
    },
    async drain() {
      stopping.abort();
      await running;
    },
  };
}
