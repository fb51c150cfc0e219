import type { RedisUsage } from './parts/redis-usage.ts';

/** What one bench found. */
export interface Report {
  readonly rows: readonly Row[];
  /** A table of its own, as lines of Markdown. */
  readonly table?: readonly string[];
}

/** One row of the table. */
export interface Row {
  readonly what: string;
  readonly ours: string;
  /** Empty if there is no baseline. */
  readonly baseline: string;
  readonly value: number;
  /** Null: reported only. */
  readonly aim: number | null;
  /** A better value that is wanted beyond the aim. */
  readonly goal?: number | undefined;
  /** Whether the aim is a minimum; otherwise it is a maximum. */
  readonly atLeast: boolean;
}

/**
 * Compares rates of Outtray with those of a baseline, measured in the same rounds. The value is the
 * median of the ratios; the aim is a minimum.
 */
export function over(
  what: string,
  ours: readonly number[],
  baseline: readonly number[],
  aim: number | null,
  goal?: number,
): Row {
  return { ...compare(what, ours, baseline, perSecond), aim, goal, atLeast: true };
}

/** Compares times, in ms. The aim is a maximum. */
export function costOver(
  what: string,
  ours: readonly number[],
  baseline: readonly number[],
  aim: number | null,
  goal?: number,
): Row {
  return { ...compare(what, ours, baseline, duration), aim, goal, atLeast: false };
}

function compare(
  what: string,
  ours: readonly number[],
  baseline: readonly number[],
  show: (value: number) => string,
) {
  const ratios = ours.map((value, round) => value / (baseline[round] ?? Number.NaN));
  return { what, ours: show(median(ours)), baseline: show(median(baseline)), value: median(ratios) };
}

/** A value without a baseline. The aim is a maximum. */
export function atMost(what: string, ours: string, value: number, aim: number | null): Row {
  return { what, ours, baseline: '', value, aim, atLeast: false };
}

/** A value without an aim. */
export function reported(what: string, ours: string): Row {
  return atMost(what, ours, Number.NaN, null);
}

/** CPU time of Redis, without an aim: its amount depends on the machine. */
export function redisRow(what: string, rounds: readonly RedisUsage[], messagesPerRound: number): Row {
  const of = (key: keyof RedisUsage) => median(rounds.map((usage) => usage[key])) / messagesPerRound;
  const scripts = `${of('scripts').toFixed(2)} scripts, ${duration(of('scriptMs'))} in them`;
  return reported(`CPU time of Redis per message ${what}`, `${duration(of('cpuMs'))} (${scripts})`);
}

/** A row that could not be measured here. */
export function leftOut(what: string, reason: string): Row {
  return reported(what, `skipped: ${reason}`);
}

export const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

export const perSecond = (rate: number) => `${Math.round(rate).toLocaleString('en')}/s`;

/** @param ms duration in ms */
export function duration(ms: number): string {
  return ms < 1 ? `${Math.round(ms * 1000)} µs` : `${ms.toFixed(ms < 100 ? 1 : 0)} ms`;
}

const isMet = ({ value, atLeast }: Row, aim: number) => (atLeast ? value >= aim : value <= aim);

/** Whether the row has an aim and its value misses it. */
export const isMissed = (row: Row) => row.aim !== null && !isMet(row, row.aim);

export const TABLE_HEAD = [
  '| what | Outtray | baseline | value | aim | |',
  '| --- | --- | --- | --- | --- | --- |',
];

/** Returns the row as a line of Markdown. */
export function toLine(row: Row): string {
  const { what, ours, baseline, value, aim, goal, atLeast } = row;
  const shown = baseline === '' ? '' : value.toFixed(2);
  const sign = atLeast ? '≥' : '≤';
  const bound = aim === null ? '' : `${sign} ${aim}${goal === undefined ? '' : `, goal ${goal}`}`;
  return `| ${[what, ours, baseline, shown, bound, describe(row)].join(' | ')} |`;
}

function describe(row: Row): string {
  if (row.aim === null) return '';
  if (isMissed(row)) return '**missed**';
  return row.goal !== undefined && !isMet(row, row.goal) ? 'met, goal missed' : 'met';
}
