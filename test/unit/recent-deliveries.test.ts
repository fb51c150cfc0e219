import { expect, test } from 'vitest';
import { createRecentDeliveries } from '../../src/adapters/sqlite/recent-deliveries.ts';
import { aDelivery } from '../helpers/delivery.ts';

const KB = 1024;

test('drops the oldest deliveries when the newest need their memory', () => {
  const recent = createRecentDeliveries();
  const deliveries = Array.from({ length: 200 }, () => aDelivery({ bytes: 64 * KB }));
  for (const delivery of deliveries) recent.add(delivery);
  const found = deliveries.map(({ id }) => recent.get(id));
  expect(found).toEqual([...Array(72).fill(null), ...deliveries.slice(72)]);
});

test('has room again for each delivery that is removed', () => {
  const recent = createRecentDeliveries();
  const first = aDelivery({ bytes: 64 * KB });
  recent.add(first);
  for (let i = 0; i < 200; i++) {
    const delivery = aDelivery({ bytes: 64 * KB });
    recent.add(delivery);
    recent.remove(delivery.id);
  }
  expect(recent.get(first.id)).toBe(first);
});

test('does not keep large deliveries', () => {
  const recent = createRecentDeliveries();
  const large = aDelivery({ bytes: 64 * KB + 1 });
  recent.add(large);
  expect(recent.get(large.id)).toBeNull();
});
