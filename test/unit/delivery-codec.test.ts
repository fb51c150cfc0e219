import { describe, expect, test } from 'vitest';
import {
  decodeContent,
  decodeRecord,
  encodeContent,
  encodeRecord,
} from '../../src/core/delivery/delivery-codec.ts';
import { aDelivery, aMessage } from '../helpers/delivery.ts';

const ATTACHMENT = { filename: 'a.bin', contentType: null, contentId: null };
const { content: CONTENT } = aMessage();

/** Returns the bytes as a view into a larger buffer, as a database may return them. */
function viewOf(bytes: Uint8Array): Uint8Array {
  const around = Buffer.concat([Buffer.from([1, 2, 3]), bytes, Buffer.from([4, 5])]);
  return new Uint8Array(around.buffer, around.byteOffset + 3, bytes.length);
}

describe('the content of a message', () => {
  test.each([
    ['without attachments', []],
    ['with an empty attachment', [new Uint8Array()]],
    [
      'with every byte value, between empty attachments',
      [new Uint8Array(), Uint8Array.from({ length: 256 }, (_, i) => i), new Uint8Array()],
    ],
    ['with two attachments', [Buffer.from('first'), Buffer.from('second')]],
  ])('is decoded as it was encoded: %s', (_, files) => {
    const attachments = files.map((content, i) => ({ ...ATTACHMENT, filename: `${i} ü.bin`, content }));
    const content = { ...CONTENT, html: '<p>Grüße 🎉</p>', headers: { 'X-A': 'b' }, attachments };
    const decoded = decodeContent(viewOf(encodeContent(content)));
    const readable = decoded.attachments.map((attachment) => ({
      ...attachment,
      content: [...attachment.content],
    }));
    expect({ ...decoded, attachments: readable }).toEqual({
      ...content,
      attachments: attachments.map((attachment) => ({ ...attachment, content: [...attachment.content] })),
    });
  });

  test('is hardly longer than its attachments when encoded', () => {
    const content = { ...CONTENT, attachments: [{ ...ATTACHMENT, content: new Uint8Array(100_000) }] };
    expect(encodeContent(content).length).toBeLessThan(101_000);
  });
});

describe('the record of a delivery', () => {
  test('is decoded as it was encoded, with the content that is stored separately', () => {
    const delivery = aDelivery({ tags: { ü: 'ö' }, scheduledAt: 1, error: null });
    expect(decodeRecord(encodeRecord(delivery), delivery.content)).toEqual(delivery);
    expect(decodeRecord(encodeRecord(delivery), null)).toEqual({ ...delivery, content: null });
  });

  test('does not contain the content', () => {
    expect(encodeRecord(aDelivery(aMessage({ text: 'the words' })))).not.toContain('the words');
  });

  test('of version 0.1 is decoded: fields that it does not have get defaults, from the content if possible', () => {
    const { replyTo: _, template: __, attachments: ___, warnings: ____, ...older } = aDelivery();
    const record = JSON.stringify({ ...older, content: null });
    expect(decodeRecord(record, null)).toEqual({
      ...older,
      content: null,
      replyTo: [],
      template: null,
      attachments: [],
      warnings: [],
    });
    const replyTo = [{ email: 'help@acme.com', name: null }];
    const file = { ...ATTACHMENT, content: Buffer.from('abc') };
    expect(decodeRecord(record, { ...CONTENT, replyTo, attachments: [file] })).toMatchObject({
      replyTo,
      attachments: [{ filename: 'a.bin', size: 3, contentType: null }],
    });
  });
});
