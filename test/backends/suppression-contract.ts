import { describe, expect, test } from 'vitest';
import type { Suppression, SuppressionStore } from '../../src/core/ports/suppression-store.ts';
import { aSuppression, put } from '../helpers/suppression.ts';

/** Tests of the SuppressionStore contract. */
export function suppressionContract(name: string, open: () => Promise<SuppressionStore>): void {
  const emailsOf = (page: readonly Suppression[]) => page.map(({ email }) => email);

  describe(`the suppression store of ${name}`, () => {
    test('returns each suppression as it was put, and null for other addresses', async () => {
      const store = await open();
      const manual = aSuppression('ada@example.com', {
        reason: 'manual',
        accounts: null,
        smtp: null,
        messageId: null,
        note: 'Asked us to stop',
      });
      const refused = aSuppression('bob@example.com');
      await put(store, manual);
      await put(store, refused);
      expect([
        await store.get('ada@example.com'),
        await store.get('bob@example.com'),
        await store.get('eve@example.com'),
      ]).toEqual([manual, refused, null]);
    });

    test('stores one suppression for each mailbox, ignoring case; the last put wins', async () => {
      const store = await open();
      await put(store, aSuppression('Ada@example.com'));
      const last = aSuppression('ada@example.com', { reason: 'manual', accounts: null });
      await put(store, last);
      expect(await store.get('ADA@example.com')).toEqual(last);
      expect(await store.list({ limit: 10, after: null })).toEqual([last]);
      await put(store, aSuppression('ada@example.com'));
      expect(await store.list({ limit: 10, after: null })).toHaveLength(1);
    });

    test('applies one of two replacements of the same suppression', async () => {
      const store = await open();
      const email = 'ada@example.com';
      const [first, second] = [
        aSuppression(email, { accounts: ['a@acme.com'] }),
        aSuppression(email, { accounts: ['b@acme.com'] }),
      ];
      expect(await Promise.all([store.replace(null, first), store.replace(null, second)])).toEqual([
        true,
        false,
      ]);
      const known = await store.get(email);
      expect(known).toEqual(first);
      expect([await store.replace(known, second), await store.replace(known, first)]).toEqual([true, false]);
      await store.remove(email);
      expect(await store.replace(second, first)).toBe(false);
      expect(await store.get(email)).toBeNull();
    });

    test('removes a suppression, and returns whether there was one', async () => {
      const store = await open();
      await put(store, aSuppression('ada@example.com'));
      expect(await store.remove('Ada@example.com')).toBe(true);
      expect(await store.remove('ada@example.com')).toBe(false);
      expect([await store.get('ada@example.com'), await store.list({ limit: 10, after: null })]).toEqual([
        null,
        [],
      ]);
    });

    test('lists suppressions by mailbox key in code unit order, page by page', async () => {
      const store = await open();
      const inOrder = [
        '1@example.com',
        'Ada@example.com',
        'b@example.com',
        'b_@example.com',
        'bob@example.com',
        'é@example.com',
        '😀@example.com',
      ];
      for (const email of [...inOrder].sort((a, b) => b.length - a.length))
        await put(store, aSuppression(email));
      expect(emailsOf(await store.list({ limit: 100, after: null }))).toEqual(inOrder);
      expect(emailsOf(await store.list({ limit: 2, after: 'ada@example.com' }))).toEqual([
        'b@example.com',
        'b_@example.com',
      ]);
      expect(await store.list({ limit: 2, after: '😀@example.com' })).toEqual([]);
    });

    test('continues a list after a key that was removed meanwhile', async () => {
      const store = await open();
      for (const email of ['a@example.com', 'b@example.com', 'c@example.com'])
        await put(store, aSuppression(email));
      await store.remove('b@example.com');
      expect(emailsOf(await store.list({ limit: 10, after: 'b@example.com' }))).toEqual(['c@example.com']);
    });
  });
}
