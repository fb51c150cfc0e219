import { type Call, isSync } from './trace.ts';

/** A message and its recipient, which no other message has. */
export interface TracedMessage {
  readonly id: string;
  readonly recipient: string;
}

/**
 * Finds a response that was sent before its message was synced, or an attempt that began before its
 * record was. Returns a description of each.
 */
export function findOrderViolations(calls: readonly Call[], messages: readonly TracedMessage[]): string[] {
  return messages.flatMap(({ id, recipient }) => [
    ...checkOrder(
      `the 202 of ${id}`,
      findResponse(id, calls),
      'the message',
      findSyncTime(recordPattern(id, 'queued'), calls),
    ),
    ...checkOrder(
      `the attempt of ${id}`,
      findAttempt(recipient, calls),
      'its record',
      findSyncTime(rowPattern(id, 'sending'), calls),
    ),
  ]);
}

function checkOrder(what: string, sent: Call | undefined, record: string, syncedAt: number): string[] {
  if (sent === undefined) return [`${what} is not in the trace`];
  return syncedAt < sent.startedAt ? [] : [`${what} was sent before ${record} was synced`];
}

/** Matches the record of a delivery, which contains its status when it was inserted. */
function recordPattern(id: string, status: string): RegExp {
  return new RegExp(`"id":"${id}",[^{}]*"status":"${status}"`);
}

/** Matches the row of a delivery after a change: its id, its revision in a few bytes, its status. */
function rowPattern(id: string, status: string): RegExp {
  return new RegExp(`${id}[^]{1,8}${status}`);
}

function findResponse(id: string, calls: readonly Call[]): Call | undefined {
  return calls.find(
    ({ target, data }) => isSocket(target) && data.startsWith('HTTP/1.1 202 ') && data.includes(id),
  );
}

/** Finds the write of MAIL FROM, together with RCPT TO or before it. */
function findAttempt(recipient: string, calls: readonly Call[]): Call | undefined {
  const named = calls.findIndex(
    ({ target, data }) => isSocket(target) && data.includes(`RCPT TO:<${recipient}>`),
  );
  const socket = calls[named]?.target;
  return calls
    .slice(0, named + 1)
    .findLast(({ target, data }) => target === socket && data.includes('MAIL FROM:'));
}

/**
 * Returns the time at which the log was synced after the frame with this record and all frames up
 * to the end of its transaction were written. Infinity: never.
 *
 * A frame is written as a header and a page
 * (https://sqlite.org/fileformat2.html#the_write_ahead_log).
 */
function findSyncTime(record: RegExp, calls: readonly Call[]): number {
  const log = calls.filter(({ target }) => target.endsWith('-wal'));
  const page = log.findIndex(({ data }) => record.test(data));
  if (page === -1) return Number.POSITIVE_INFINITY;
  const commit = log.findIndex((call, index) => index >= page - 1 && endsTransaction(call));
  const last = commit === -1 ? undefined : log[commit + 1];
  const sync = last && log.find((call) => isSync(call) && call.succeeded && call.startedAt > last.endedAt);
  return sync?.endedAt ?? Number.POSITIVE_INFINITY;
}

/** The header of the last frame of a transaction contains the size of the database, else zero. */
function endsTransaction({ data }: Call): boolean {
  return data.length === 24 && data.slice(4, 8) !== '\0\0\0\0';
}

function isSocket(target: string): boolean {
  return target.startsWith('TCP');
}
