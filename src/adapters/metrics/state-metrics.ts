import { Gauge, Registry } from 'prom-client';
import type { AccountStatus } from '../../core/accounts/account-status.ts';
import type { DeliveryStats } from '../../core/delivery/delivery-stats.ts';
import type { QueueLimits } from '../../core/delivery/queue-capacity.ts';

/** What all instances share: the queue and the accounts. */
export interface SharedMetrics {
  readonly queue: QueueState;
  readonly accounts: readonly AccountStatus[];
}

export interface QueueState extends QueueLimits, Pick<DeliveryStats, 'byStatus' | 'oldestDueAt'> {
  /** Bytes that count against QUEUE_MAX_BYTES. */
  readonly bytes: number;
}

/**
 * Returns the registry of one scrape. A new one for each, so that no series outlives its cause.
 *
 * @param state null if it could not be read
 * @param isUp whether the backend takes messages
 */
export function toStateRegistry(state: SharedMetrics | null, isUp: boolean): Registry {
  const registry = new Registry();
  const addGauge: AddGauge = (name, help, labelNames = []) =>
    new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
  const up = addGauge('outtray_backend_up', 'Whether the queue backend can be read and written: 1 or 0.');
  up.set(Number(isUp && state !== null));
  if (state === null) return registry;
  setQueue(state.queue, addGauge);
  setAccounts(state.accounts, addGauge);
  return registry;
}

type AddGauge = <Label extends string>(
  name: string,
  help: string,
  labelNames?: readonly Label[],
) => Gauge<Label>;

function setQueue(
  { byStatus, oldestDueAt, bytes, maxMessages, maxBytes }: QueueState,
  addGauge: AddGauge,
): void {
  const messages = addGauge('outtray_queue_messages', 'Messages that wait, by status.', ['status']);
  for (const [status, count] of Object.entries(byStatus)) messages.set({ status }, count);
  addGauge('outtray_queue_messages_limit', 'Maximum number of messages that wait (QUEUE_MAX_MESSAGES).').set(
    maxMessages,
  );
  addGauge('outtray_queue_bytes', 'Size of the messages that wait.').set(bytes);
  addGauge('outtray_queue_bytes_limit', 'Maximum size of the messages that wait (QUEUE_MAX_BYTES).').set(
    maxBytes,
  );
  addGauge(
    'outtray_queue_oldest_due_seconds',
    'Time since the message that waits longest was due; 0 if none is due.',
  ).set(oldestDueAt === null ? 0 : Math.max(0, Date.now() - oldestDueAt) / 1000);
}

function setAccounts(accounts: readonly AccountStatus[], addGauge: AddGauge): void {
  const paused = addGauge(
    'outtray_account_paused',
    'Whether the account is paused, 1 or 0, and the error code of the pause.',
    ['account', 'code'],
  );
  const used = addGauge('outtray_account_quota_used', 'Accepted by Gmail in the last 24 hours.', [
    'account',
    'kind',
  ]);
  const limit = addGauge(
    'outtray_account_quota_limit',
    'Limit for 24 hours: the configured one, or a lower one that Gmail has enforced.',
    ['account', 'kind'],
  );
  const connections = addGauge(
    'outtray_smtp_connections',
    'SMTP connections of SMTP_CONNECTIONS: busy (sending), free, or withheld since Gmail asked to slow down.',
    ['account', 'state'],
  );
  for (const { user: account, pause, quota, connections: use } of accounts) {
    paused.set({ account, code: pause?.error.code ?? '' }, pause === null ? 0 : 1);
    for (const kind of ['messages', 'recipients'] as const) {
      used.set({ account, kind }, quota[kind].used);
      limit.set({ account, kind }, quota[kind].learned ?? quota[kind].limit);
    }
    const free = Math.max(0, use.allowed - use.busy);
    connections.set({ account, state: 'busy' }, use.busy);
    connections.set({ account, state: 'free' }, free);
    connections.set({ account, state: 'withheld' }, Math.max(0, use.max - use.busy - free));
  }
}
