import { Counter, Histogram, type Registry } from 'prom-client';
import type { Attempt, Delivery } from '../../core/delivery/delivery.ts';
import type { Events } from '../../core/events.ts';
import type { WebhookResult } from '../../core/ports/webhook-sender.ts';

export interface EventMetricsOptions {
  /** Returns the names of the API keys that may send. */
  readonly keys: () => readonly string[];
  /** Returns the configured accounts. */
  readonly accounts: () => readonly string[];
}

/** Label of the account of test keys. */
const SANDBOX = 'sandbox';
/** Label of an account that is no longer configured and still has mail. */
const OTHER_ACCOUNT = '_OTHER';

const DELIVERY_BUCKETS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 43_200, 86_400];
const ATTEMPT_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

const WEBHOOK_OUTCOMES = {
  taken: 'delivered',
  failed: 'failed',
  gone: 'gone',
} as const satisfies Record<WebhookResult['kind'], string>;

/** Counts what happens to messages, attempts and webhook calls in this process. */
export function countEvents(
  events: Events,
  registry: Registry,
  { keys, accounts }: EventMetricsOptions,
): void {
  const registers = [registry];
  const seenKeys = new Set<string>();
  const accepted = new Counter({
    name: 'outtray_messages_accepted_total',
    help: 'Messages accepted, by API key.',
    labelNames: ['key'],
    registers,
    collect() {
      const current = keys();
      for (const key of current) this.inc({ key }, 0);
      // Keys can be reloaded: without this, the names of removed keys would accumulate.
      for (const key of seenKeys.difference(new Set(current))) this.remove({ key });
      seenKeys.clear();
      for (const key of current) seenKeys.add(key);
    },
  });
  const settled = new Counter({
    name: 'outtray_messages_settled_total',
    help: 'Messages that reached a final status, by account, status and error code. A message that is retried later counts again.',
    labelNames: ['account', 'status', 'code'],
    registers,
    // A rate needs a value from before the first event.
    collect() {
      for (const account of accounts()) {
        this.inc({ account, status: 'sent', code: '' }, 0);
        this.inc({ account, status: 'failed', code: 'recipients_rejected' }, 0);
        this.inc({ account, status: 'uncertain', code: 'delivery_uncertain' }, 0);
      }
    },
  });
  const attempts = new Counter({
    name: 'outtray_attempts_total',
    help: 'Attempts to send a message, by account, outcome (accepted, failed or uncertain) and error code.',
    labelNames: ['account', 'outcome', 'code'],
    registers,
    collect() {
      for (const account of accounts()) this.inc({ account, outcome: 'accepted', code: '' }, 0);
    },
  });
  const deliveryDuration = new Histogram({
    name: 'outtray_delivery_duration_seconds',
    help: 'Time from when a message was due until it was sent.',
    buckets: DELIVERY_BUCKETS,
    registers,
  });
  const attemptDuration = new Histogram({
    name: 'outtray_attempt_duration_seconds',
    help: 'Duration of an attempt to send a message.',
    buckets: ATTEMPT_BUCKETS,
    registers,
  });
  const webhookCalls = new Counter({
    name: 'outtray_webhook_calls_total',
    help: 'Calls of webhook endpoints, by outcome: delivered, failed, or gone (the endpoint responded 410).',
    labelNames: ['outcome'],
    registers,
  });

  const toLabel = (account: string, { test }: Delivery) =>
    test ? SANDBOX : accounts().includes(account) ? account : OTHER_ACCOUNT;
  for (const outcome of Object.values(WEBHOOK_OUTCOMES)) webhookCalls.inc({ outcome }, 0);

  events.on('message.accepted', ({ owner }) => {
    seenKeys.add(owner);
    accepted.inc({ key: owner });
  });
  events.on('message.settled', (delivery) => {
    const { account, status, error } = delivery;
    settled.inc({ account: toLabel(account, delivery), status, code: error?.code ?? '' });
    if (status === 'sent' || status === 'partially_sent') deliveryDuration.observe(deliverySeconds(delivery));
  });
  events.on('message.attempted', (delivery, attempt, { fault, server }) => {
    const outcome = fault === null ? 'accepted' : fault.certain ? 'failed' : 'uncertain';
    const account = toLabel(attempt.account, delivery);
    attempts.inc({ account, outcome, code: fault?.error.code ?? '' });
    // The end of an attempt that was interrupted by a crash is unknown.
    if (server !== '') attemptDuration.observe(attemptSeconds(attempt));
  });
  events.on('webhook.attempted', (_notice, { kind }) => {
    webhookCalls.inc({ outcome: WEBHOOK_OUTCOMES[kind] });
  });
}

function deliverySeconds({ createdAt, scheduledAt, finishedAt }: Delivery): number {
  return toSeconds(Math.max(createdAt, scheduledAt ?? 0), finishedAt);
}

function attemptSeconds({ startedAt, endedAt }: Attempt): number {
  return toSeconds(startedAt, endedAt);
}

/** Returns the time between two moments in epoch ms. The wall clock may have gone back meanwhile. */
function toSeconds(from: number, to: number | null): number {
  return Math.max(0, (to ?? from) - from) / 1000;
}
