import { expect, test } from 'vitest';
import { isCovered, overlapping, toRange } from '../../src/doctor/checks/domains/address-range.ts';

test.each([
  ['192.0.2.0/24', ['192.0.2.0/24'], true],
  ['192.0.2.0/24', ['192.0.2.128/25', '192.0.2.0/25'], true],
  ['192.0.2.0/24', ['192.0.2.0/25', '192.0.2.129/25', '192.0.2.0/26'], true],
  ['192.0.2.0/24', ['192.0.2.0/25', '192.0.2.192/26'], false],
  ['192.0.2.7', ['0.0.0.0/0'], true],
  ['255.255.255.255', ['255.255.255.254/31'], true],
  ['192.0.2.7', ['192.0.2.6', '192.0.2.8'], false],
  ['192.0.2.7', [], false],
  ['192.0.2.7', ['::/0'], false],
  ['2001:db8::/56', ['2001:db8::/32'], true],
  ['2001:db8::/56', ['2001:db8::/57'], false],
])('%s is covered by %j: %s', (network, others, covered) => {
  expect(isCovered(toRange(network), others.map(toRange))).toBe(covered);
});

test.each([
  ['192.0.2.0/24', '192.0.2.255', true],
  ['192.0.2.0/24', '192.0.3.0', false],
  ['192.0.2.0/24', '192.0.0.0/16', true],
  ['192.0.2.0/24', '::ffff:192.0.2.1', false],
])('%s has an address of %s: %s', (network, other, overlaps) => {
  expect(overlapping(toRange(network))(toRange(other))).toBe(overlaps);
});
