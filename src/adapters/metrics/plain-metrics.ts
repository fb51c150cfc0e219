import { Counter, type Histogram, type Registry } from 'prom-client';
import { createSeries, type Labels, type Series } from './series.ts';

/** Metrics that count in plain numbers, which prom-client reads only when it is scraped. */
interface MetricOptions {
  readonly name: string;
  readonly help: string;
  /** At most three. */
  readonly labelNames?: readonly string[];
}

export interface Count {
  total: number;
}

interface CounterOptions extends MetricOptions {
  /** Returns labels to show before their first event: a rate needs a value from before it. */
  readonly expected?: () => readonly Labels[];
}

/** Adds a counter to the registry. */
export function addCounter(
  registry: Registry,
  { name, help, labelNames = [], expected = () => [] }: CounterOptions,
): Series<Count> {
  const series = createSeries<Count>(labelNames, () => ({ total: 0 }));
  new Counter({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      for (const labels of expected()) series.at(...labels);
      this.reset();
      for (const { labels, value } of series.all()) this.inc(labels, value.total);
    },
  });
  return series;
}

/** Observations, counted by bucket. */
export interface Distribution {
  /** @param value finite, at least 0 */
  observe(value: number): void;
}

interface HistogramOptions extends MetricOptions {
  /** Upper bounds, ascending. */
  readonly buckets: readonly number[];
}

/** Adds a histogram to the registry. */
export function addHistogram(registry: Registry, options: HistogramOptions): Series<Distribution> {
  const { name, help, labelNames = [], buckets } = options;
  const series = createSeries(labelNames, () => createDistribution(buckets));
  const metric = {
    name,
    async get() {
      const values = series.all().flatMap(({ labels, value }) =>
        value.samples().map((sample) => ({
          metricName: `${name}_${sample.part}`,
          labels: sample.le === null ? labels : { le: sample.le, ...labels },
          value: sample.value,
        })),
      );
      return { name, help, type: 'histogram', values };
    },
  };
  // The histogram of prom-client cannot take counts. A registry needs only these fields.
  registry.registerMetric(metric as unknown as Histogram);
  return series;
}

function createDistribution(bounds: readonly number[]) {
  /** Observations of each bucket alone. The last one is that of +Inf. */
  const counts = Array.from({ length: bounds.length + 1 }, () => 0);
  let sum = 0;

  return {
    observe(value: number) {
      let bucket = 0;
      while (value > (bounds[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1;
      counts[bucket] = (counts[bucket] ?? 0) + 1;
      sum += value;
    },
    samples() {
      let count = 0;
      const buckets = counts.map((observed, i) => {
        count += observed;
        return { part: 'bucket', le: bounds[i] ?? '+Inf', value: count };
      });
      return [...buckets, { part: 'sum', le: null, value: sum }, { part: 'count', le: null, value: count }];
    },
  };
}
