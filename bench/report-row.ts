/** One row of the table. */
export interface Row {
  readonly what: string;
  readonly ours: string;
  /** Empty if there is no baseline. */
  readonly baseline: string;
  readonly value: number;
  /** Null: reported only. */
  readonly aim: number | null;
  /** Whether the aim is a minimum; otherwise it is a maximum. */
  readonly atLeast: boolean;
}

/** Compares a rate of Outtray with a baseline. The aim is a minimum ratio. */
export function over(what: string, ours: number, baseline: number, aim: number | null): Row {
  return {
    what,
    ours: perSecond(ours),
    baseline: perSecond(baseline),
    value: ours / baseline,
    aim,
    atLeast: true,
  };
}

/** A value without a baseline. The aim is a maximum. */
export function atMost(what: string, ours: string, value: number, aim: number | null): Row {
  return { what, ours, baseline: '', value, aim, atLeast: false };
}

/** A row that could not be measured here. */
export function leftOut(what: string, reason: string): Row {
  return atMost(what, `skipped: ${reason}`, Number.NaN, null);
}

export const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const perSecond = (rate: number) => `${Math.round(rate).toLocaleString('en')}/s`;
