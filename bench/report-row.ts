/** One line of the table. */
export interface Row {
  readonly what: string;
  readonly ours: string;
  /** Empty: the value stands by itself. */
  readonly baseline: string;
  readonly value: number;
  /** Null: it is told, and not judged. */
  readonly aim: number | null;
  /** Whether more is better. */
  readonly atLeast: boolean;
}

/** Our rate over another. */
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

/** What is not to be exceeded. */
export function atMost(what: string, ours: string, value: number, aim: number | null): Row {
  return { what, ours, baseline: '', value, aim, atLeast: false };
}

/** What could not be measured here. */
export function leftOut(what: string, why: string): Row {
  return atMost(what, `left out: ${why}`, Number.NaN, null);
}

export const median = (values: readonly number[]) =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const perSecond = (rate: number) => `${Math.round(rate).toLocaleString('en')}/s`;
