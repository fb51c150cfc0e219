import { type Call, isSync } from './trace.ts';

/** A message, and the one recipient that nobody else writes to. */
export interface Traced {
  readonly id: string;
  readonly recipient: string;
}

/** Where something came too early, in words: an answer before its message was synced, an attempt before its record was. */
export function findDisorder(calls: readonly Call[], messages: readonly Traced[]): string[] {
  return messages.flatMap(({ id, recipient }) => [
    ...compare(
      `the 202 of ${id}`,
      answerTo(id, calls),
      'the message',
      syncedAt(recordOf(id, 'queued'), calls),
    ),
    ...compare(
      `the attempt of ${id}`,
      attemptFor(recipient, calls),
      'its record',
      syncedAt(recordOf(id, 'sending'), calls),
    ),
  ]);
}

function compare(what: string, shown: Call | undefined, kept: string, keptAt: number): string[] {
  if (shown === undefined) return [`${what} is not in the trace`];
  return keptAt < shown.startedAt ? [] : [`${what} went out before ${kept} was synced`];
}

function recordOf(id: string, status: string): RegExp {
  return new RegExp(`"id":"${id}",[^{}]*"status":"${status}"`);
}

function answerTo(id: string, calls: readonly Call[]): Call | undefined {
  return calls.find(
    ({ target, data }) => isSocket(target) && data.startsWith('HTTP/1.1 202 ') && data.includes(id),
  );
}

/** Its first bytes: MAIL FROM, with RCPT TO or before it. */
function attemptFor(recipient: string, calls: readonly Call[]): Call | undefined {
  const named = calls.findIndex(
    ({ target, data }) => isSocket(target) && data.includes(`RCPT TO:<${recipient}>`),
  );
  const socket = calls[named]?.target;
  return calls
    .slice(0, named + 1)
    .findLast(({ target, data }) => target === socket && data.includes('MAIL FROM:'));
}

/**
 * When the log was synced that holds this for good: the frame with it, and all up to the one that ends its transaction. Infinity: never.
 *
 * A frame is written as a header and a page (https://sqlite.org/fileformat2.html#the_write_ahead_log).
 */
function syncedAt(record: RegExp, calls: readonly Call[]): number {
  const log = calls.filter(({ target }) => target.endsWith('-wal'));
  const page = log.findIndex(({ data }) => record.test(data));
  if (page === -1) return Number.POSITIVE_INFINITY;
  const commit = log.findIndex((call, index) => index >= page - 1 && endsTransaction(call));
  const last = commit === -1 ? undefined : log[commit + 1];
  const sync = last && log.find((call) => isSync(call) && call.succeeded && call.startedAt > last.endedAt);
  return sync?.endedAt ?? Number.POSITIVE_INFINITY;
}

/** A frame's header says how large the database is after the transaction, if it ends one. */
function endsTransaction({ data }: Call): boolean {
  return data.length === 24 && data.slice(4, 8) !== '\0\0\0\0';
}

function isSocket(target: string): boolean {
  return target.startsWith('TCP');
}
