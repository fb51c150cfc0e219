type Label = string | number;

/** Values of up to three labels, in the order of their names. Those that are left out are empty. */
export type Labels = readonly [first?: Label, second?: Label, third?: Label];

/** A value for each combination of the values of up to three labels. */
export interface Series<Value> {
  /**
   * Returns the value of these labels, and creates it at first. Known labels allocate nothing, while
   * prom-client builds an object and a string of the labels for each event.
   */
  at(...labels: Labels): Value;
  /** All combinations so far, in the order of their creation. */
  all(): readonly SeriesEntry<Value>[];
}

export interface SeriesEntry<Value> {
  readonly labels: Readonly<Record<string, Label>>;
  readonly value: Value;
}

/** @param labelNames at most three */
export function createSeries<Value>(labelNames: readonly string[], create: () => Value): Series<Value> {
  const values = new Map<Label, Map<Label, Map<Label, Value>>>();
  const entries: SeriesEntry<Value>[] = [];

  function add(labels: readonly [Label, Label, Label]): Value {
    const [first, second, third] = labels;
    const value = create();
    const bySecond = values.get(first) ?? new Map<Label, Map<Label, Value>>();
    const byThird = bySecond.get(second) ?? new Map<Label, Value>();
    values.set(first, bySecond.set(second, byThird.set(third, value)));
    entries.push({ labels: Object.fromEntries(labelNames.map((name, i) => [name, labels[i] ?? ''])), value });
    return value;
  }

  return {
    at: (first = '', second = '', third = '') =>
      values.get(first)?.get(second)?.get(third) ?? add([first, second, third]),
    all: () => entries,
  };
}
