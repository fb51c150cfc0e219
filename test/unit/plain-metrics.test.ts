import fc from 'fast-check';
import { Counter, Histogram, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { addCounter, addHistogram } from '../../src/adapters/metrics/plain-metrics.ts';

const NAMES = {
  name: 'things',
  help: 'Things, by "color".',
  labelNames: ['color', 'shape', 'size'] as const,
};
/** Bounds that observations also hit exactly. */
const BUCKETS = [0.005, 0.25, 1, 60];

const label = fc.oneof(fc.constantFrom('', 'red', 'a"b\\c\nd'), fc.nat(2));
const observation = fc.record({
  labels: fc.tuple(label, label, label),
  value: fc.oneof(fc.constantFrom(0, ...BUCKETS), fc.double({ min: 0, max: 100, noNaN: true })),
});

function toLabels([color, shape, size]: readonly (string | number)[]) {
  return { color, shape, size } as Record<'color' | 'shape' | 'size', string | number>;
}

test('a scrape shows the counts and the distribution that prom-client itself shows', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(observation), async (observations) => {
      const [ours, theirs] = [new Registry(), new Registry()];
      const series = addCounter(ours, NAMES);
      const histogram = addHistogram(ours, { ...NAMES, name: 'time', buckets: BUCKETS });
      const registers = [theirs];
      const counter = new Counter({ ...NAMES, registers });
      const reference = new Histogram({ ...NAMES, name: 'time', buckets: BUCKETS, registers });
      for (const { labels, value } of observations) {
        series.at(...labels).total += 1;
        histogram.at(...labels).observe(value);
        counter.inc(toLabels(labels));
        reference.observe(toLabels(labels), value);
      }
      expect(await ours.metrics()).toBe(await theirs.metrics());
      // A scrape does not change what the next one shows.
      expect(await ours.metrics()).toBe(await theirs.metrics());
    }),
  );
});
