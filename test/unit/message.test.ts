import { expect, test } from 'vitest';
import { contentBytes } from '../../src/core/message/message.ts';
import { aDelivery } from '../helpers/delivery.ts';

test('contentBytes includes the Message-IDs of a thread', () => {
  const { content } = aDelivery();
  if (!content) throw new Error('a new delivery has content');
  const references = Array.from({ length: 100 }, () => `<${'x'.repeat(900)}>`);
  expect(contentBytes({ ...content, references }) - contentBytes(content)).toBe(100 * 902);
});
