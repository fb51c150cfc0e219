import { EventEmitter } from 'node:events';
import type { Attempt, Delivery, DeliveryError } from './delivery.ts';
import type { Outcome } from './ports.ts';

/** What happens inside, for whoever listens: logs, waiters. Listeners must not throw. */
export interface CoreEvents {
  /** An attempt ended. */
  'message.attempted': [delivery: Delivery, attempt: Attempt, outcome: Outcome];
  'message.deferred': [delivery: Delivery];
  'message.settled': [delivery: Delivery];
  'account.paused': [user: string, error: DeliveryError, untilAt: number];
  'account.resumed': [user: string];
  /** Mail waits because the account has sent what it may in 24 h, or all but the reserve. */
  'account.short': [user: string, error: DeliveryError, untilAt: number];
  /** A lane met an error that is nobody's reply: a bug, or a store that cannot be reached. The message is tried again. */
  'lane.failed': [id: string, error: unknown];
}

export type Events = EventEmitter<CoreEvents>;

export function createEvents(): Events {
  return new EventEmitter<CoreEvents>();
}
