import { Counter, type Registry } from 'prom-client';
import type { Attempt, Delivery } from '../../core/delivery/delivery.ts';
import {
  BOUNCE_CLASSES,
  type BouncedRecipient,
  bouncedIn,
  FOLLOW_UP_KINDS,
  type FollowUp,
} from '../../core/delivery/follow-up.ts';
import { LOOKUP_RESULTS } from '../../core/delivery/lookup.ts';
import type { Events } from '../../core/events.ts';
import type { WebhookResult } from '../../core/ports/webhook-sender.ts';
import { addCounter, addHistogram } from './plain-metrics.ts';

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
  const accepted = countAccepted(registry, keys);
  const settled = addCounter(registry, {
    name: 'outtray_messages_settled_total',
    help: 'Messages that reached a final status, by account, status and error code. A message that is retried later counts again.',
    labelNames: ['account', 'status', 'code'],
    expected: () =>
      accounts().flatMap((account) => [
        [account, 'sent'],
        [account, 'failed', 'recipients_rejected'],
        [account, 'uncertain', 'delivery_uncertain'],
      ]),
  });
  const attempts = addCounter(registry, {
    name: 'outtray_attempts_total',
    help: 'Attempts to send a message, by account, outcome (accepted, failed or uncertain) and error code.',
    labelNames: ['account', 'outcome', 'code'],
    expected: () => accounts().map((account) => [account, 'accepted']),
  });
  const lookedUp = addCounter(registry, {
    name: 'outtray_reconciliations_total',
    help: 'Searches of Sent Mail for messages whose outcome was unknown, by account and result: confirmed, not_found, or not_possible (the mailbox cannot be read).',
    labelNames: ['account', 'result'],
    expected: () => accounts().flatMap((account) => LOOKUP_RESULTS.map((each) => [account, each] as const)),
  });
  const deliveryDuration = addHistogram(registry, {
    name: 'outtray_delivery_duration_seconds',
    help: 'Time from when a message was due until it was sent.',
    buckets: DELIVERY_BUCKETS,
  }).at();
  const attemptDuration = addHistogram(registry, {
    name: 'outtray_attempt_duration_seconds',
    help: 'Duration of an attempt to send a message.',
    buckets: ATTEMPT_BUCKETS,
  }).at();
  const bounced = addCounter(registry, {
    name: 'outtray_recipients_bounced_total',
    help: 'Recipients that bounced after Gmail had accepted their message, by account and class of the bounce. Needs INBOUND.',
    labelNames: ['account', 'class'],
    expected: () => accounts().flatMap((account) => BOUNCE_CLASSES.map((each) => [account, each] as const)),
  });
  const followUps = addCounter(registry, {
    name: 'outtray_follow_ups_total',
    help: 'Mail that followed a message into the inbox of its account, by account and kind. Needs INBOUND.',
    labelNames: ['account', 'kind'],
    expected: () => accounts().flatMap((account) => FOLLOW_UP_KINDS.map((kind) => [account, kind] as const)),
  });
  const webhookCalls = addCounter(registry, {
    name: 'outtray_webhook_calls_total',
    help: 'Calls of webhook endpoints, by outcome: delivered, failed, or gone (the endpoint responded 410).',
    labelNames: ['outcome'],
    expected: () => Object.values(WEBHOOK_OUTCOMES).map((outcome) => [outcome]),
  });

  const toLabel = (account: string, { test }: Pick<Delivery, 'test'>) =>
    test ? SANDBOX : accounts().includes(account) ? account : OTHER_ACCOUNT;

  function countBounced(label: string, recipients: readonly BouncedRecipient[]) {
    for (const { bounce } of recipients) bounced.at(label, bounce.class).total += 1;
  }

  events.on('message.accepted', ({ owner }) => accepted.set(owner, (accepted.get(owner) ?? 0) + 1));
  events.on('message.settled', (delivery) => {
    const { account, status, error } = delivery;
    settled.at(toLabel(account, delivery), status, error?.code).total += 1;
    if (status === 'sent' || status === 'partially_sent') deliveryDuration.observe(deliverySeconds(delivery));
  });
  events.on('message.attempted', (delivery, attempt, { fault, server }) => {
    const outcome = fault === null ? 'accepted' : fault.certain ? 'failed' : 'uncertain';
    attempts.at(toLabel(attempt.account, delivery), outcome, fault?.error.code).total += 1;
    // The end of an attempt that was interrupted by a crash is unknown.
    if (server !== '') attemptDuration.observe(attemptSeconds(attempt));
  });
  events.on('message.looked_up', (delivery, result) => {
    lookedUp.at(toLabel(delivery.lookup?.account ?? delivery.account, delivery), result).total += 1;
  });
  events.on('message.followed_up', (delivery, followUp) => {
    const label = toLabel(delivery.account, delivery);
    followUps.at(label, followUp.kind).total += 1;
    countBounced(label, newlyBouncedIn(followUp, delivery));
  });
  events.on('message.bounced_late', ({ account }, recipients) => {
    const label = toLabel(account, { test: false });
    followUps.at(label, 'bounced').total += 1;
    countBounced(label, recipients);
  });
  events.on('webhook.attempted', (_notice, { kind }) => {
    webhookCalls.at(WEBHOOK_OUTCOMES[kind]).total += 1;
  });
}

/** Returns the recipients that a mail reports as bounced, without those that had bounced before. */
function newlyBouncedIn(followUp: FollowUp, delivery: Delivery): BouncedRecipient[] {
  const earlier = delivery.followUps.filter(
    ({ kind, mailId }) => kind === 'bounced' && mailId !== followUp.mailId,
  );
  // Gmail can confirm what another server has reported.
  return bouncedIn(followUp, delivery).filter(
    ({ email }) => !earlier.some(({ recipients }) => recipients.includes(email)),
  );
}

/**
 * Adds the counter of accepted messages. Returns its counts by API key. A scrape deletes those of
 * keys that a reload removed, which would accumulate.
 */
function countAccepted(registry: Registry, keys: () => readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  new Counter({
    name: 'outtray_messages_accepted_total',
    help: 'Messages accepted, by API key.',
    labelNames: ['key'],
    registers: [registry],
    collect() {
      const current = new Set(keys());
      for (const key of counts.keys()) if (!current.has(key)) counts.delete(key);
      this.reset();
      for (const key of current) this.inc({ key }, counts.get(key) ?? 0);
    },
  });
  return counts;
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
