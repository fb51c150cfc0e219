import { expect, test } from 'vitest';
import { costOver, isMissed, leftOut, over, toLine } from '../../bench/report.ts';

test('compares by the median of the ratios of the rounds', () => {
  // The machine slowed down in the second round, and both sides with it.
  const { value } = over('rate', [200, 20, 220], [100, 10, 100], 2);
  expect(value).toBe(2);
});

test.each([
  ['a rate at its aim', over('rate', [2], [1], 2), 'met'],
  ['a rate below its aim', over('rate', [1.9], [1], 2), '**missed**'],
  ['a rate between its aim and its goal', over('rate', [1.2], [1], 1, 1.4), 'met, goal missed'],
  ['a cost at its goal', costOver('cost', [0.8], [1], 1, 0.8), 'met'],
  ['a cost above its aim', costOver('cost', [1.1], [1], 1, 0.8), '**missed**'],
  ['a cost that could not be measured', costOver('cost', [], [1], 1), '**missed**'],
])('reports %s', (_name, row, result) => {
  expect(toLine(row)).toMatch(new RegExp(`\\| ${RegExp.escape(result)} \\|$`));
  expect(isMissed(row)).toBe(result === '**missed**');
});

test('a row that was left out misses nothing', () => {
  expect(isMissed(leftOut('rate', 'needs redis-server'))).toBe(false);
});
