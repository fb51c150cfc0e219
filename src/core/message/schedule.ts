import { AppError, type FieldError, summarize } from '../errors.ts';
import { DAY } from '../time.ts';
import type { Message } from './message.ts';

const MAX_AHEAD_MS = 366 * DAY;

type Times = Pick<Message, 'scheduledAt' | 'expiresAt'>;

/** Returns the errors in the times of a message that depend on the current time. */
export function findScheduleErrors({ scheduledAt, expiresAt }: Times, now: number): FieldError[] {
  const errors: FieldError[] = [];
  if (Number(scheduledAt) > now + MAX_AHEAD_MS) {
    errors.push({ pointer: '/scheduled_at', code: 'out_of_range', detail: 'Must be at most a year ahead.' });
  }
  if (expiresAt !== null && Number(expiresAt) <= now) {
    errors.push({
      pointer: '/expires_at',
      code: 'out_of_range',
      detail: 'Must be in the future: give a later time, or none.',
    });
  }
  return errors;
}

/** @throws {AppError} `validation_failed` if {@link findScheduleErrors} finds any. */
export function checkSchedule(times: Times): void {
  const errors = findScheduleErrors(times, Date.now());
  if (errors.length > 0) throw new AppError('validation_failed', { detail: summarize(errors), errors });
}
