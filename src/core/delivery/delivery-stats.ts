import { HOUR } from '../time.ts';
import { type Delivery, isSettled, STATUSES, type Status } from './delivery.ts';

/** Statuses of a delivery that is in the queue. */
export const QUEUE_STATUSES = ['scheduled', 'queued', 'sending', 'deferred'] as const satisfies Status[];
export type QueueStatus = (typeof QUEUE_STATUSES)[number];

/** Number of hours for which settled deliveries are counted. */
export const COUNTED_HOURS = 24;

/**
 * How many deliveries settled, as sent or as failed. One that is retried counts again, and so does an
 * uncertain one that is found in Sent Mail.
 */
export interface SettledCount {
  readonly sent: number;
  readonly failed: number;
}

/** What settled in one hour of UTC. `hour`: its start, in epoch ms. */
export interface HourCount extends SettledCount {
  readonly hour: number;
}

/** Numbers of the deliveries of one owner, or of all. */
export interface DeliveryStats {
  readonly byStatus: Readonly<Record<QueueStatus, number>>;
  /**
   * The earliest {@link firstDueAt} of the deliveries that wait: those that are queued, sending or
   * deferred, and those scheduled for a time that has passed. Null if there is none.
   */
  readonly oldestDueAt: number | null;
  /** The last {@link COUNTED_HOURS} hours, oldest first. The last one is the current hour. */
  readonly byHour: readonly HourCount[];
}

/** What a status means for the counts of an hour. Canceled deliveries are not counted. */
const RESULTS: Readonly<Partial<Record<Status, keyof SettledCount>>> = {
  sent: 'sent',
  partially_sent: 'sent',
  failed: 'failed',
  uncertain: 'failed',
  expired: 'failed',
};

/** The statuses that count as this result. */
export function statusesOf(result: keyof SettledCount): Status[] {
  return STATUSES.filter((status) => RESULTS[status] === result);
}

/** A result that an hour counts. */
export interface Settlement {
  readonly owner: string;
  /** Start of the hour, in epoch ms. */
  readonly hour: number;
  readonly result: keyof SettledCount;
}

/** Returns what a settled delivery adds to the counts, or null if it is not counted. */
export function settlementOf({
  owner,
  status,
  finishedAt,
}: Pick<Delivery, 'owner' | 'status' | 'finishedAt'>): Settlement | null {
  const result = RESULTS[status];
  return result === undefined || finishedAt === null ? null : { owner, hour: hourOf(finishedAt), result };
}

/** Returns the start of the hour of a time. Both are epoch ms. */
export function hourOf(at: number): number {
  return Math.floor(at / HOUR) * HOUR;
}

/** Returns the hours that are counted, oldest first. `now` and the result are epoch ms. */
export function countedHours(now: number): number[] {
  const current = hourOf(now);
  return Array.from({ length: COUNTED_HOURS }, (_, i) => current - (COUNTED_HOURS - 1 - i) * HOUR);
}

/** Whether a status is one of a delivery in the queue. */
export function isInQueue(status: Status): status is QueueStatus {
  return !isSettled(status);
}
