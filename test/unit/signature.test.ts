import { expect, test } from 'vitest';
import { ANY_DELIVERY } from '../../src/core/delivery/delivery-query.ts';
import { mayMatch, signatureOf, signatureOfQuery } from '../../src/core/delivery/signature.ts';
import { toMailboxKey } from '../../src/core/message/address.ts';
import { aDelivery } from '../helpers/delivery.ts';

const ANY = { ...ANY_DELIVERY, limit: 1, after: null };
const to = (email: string) => [{ email, status: 'pending', smtp: null }] as const;

test('a delivery may match every query for its owner, recipients and tags', () => {
  const email = 'Größe@Example.com';
  const signature = signatureOf(aDelivery({ owner: 'shop', recipients: to(email), tags: { flow: 'a' } }));
  for (const query of [
    { owner: 'shop' },
    { recipient: toMailboxKey(email) },
    { tag: 'flow' },
    { tag: 'flow:a', owner: 'shop' },
  ]) {
    const wanted = signatureOfQuery({ ...ANY, ...query });
    expect(wanted && mayMatch(signature, wanted)).toBe(true);
  }
  expect(signatureOfQuery(ANY)).toBeNull();
});

test('few other deliveries may match', () => {
  const wanted = signatureOfQuery({ ...ANY, recipient: 'rare@example.com' });
  const passed = Array.from({ length: 5000 }, (_, i) =>
    signatureOf(aDelivery({ recipients: to(`user${i}@example.com`), tags: { flow: 'a', order: `${i}` } })),
  ).filter((signature) => wanted && mayMatch(signature, wanted));
  expect(passed.length).toBeLessThan(150);
});
