import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeContent,
  decodeRecord,
  encodeContent,
  encodeRecord,
  isSameRecord,
} from '../../src/core/delivery/delivery-codec.ts';
import type { Content } from '../../src/core/message/message.ts';
import { aDelivery, aMessage, aTrace } from '../helpers/delivery.ts';

const ATTACHMENT = { filename: 'a.bin', contentType: null, contentId: null };
const { content: CONTENT } = aMessage();

/** Returns the bytes as a view into a larger buffer, as a database may return them. */
function viewOf(bytes: Uint8Array): Uint8Array {
  const around = Buffer.concat([Buffer.from([1, 2, 3]), bytes, Buffer.from([4, 5])]);
  return new Uint8Array(around.buffer, around.byteOffset + 3, bytes.length);
}

/** Content that version 0.2 has encoded. */
const VERSION_0_2 =
  'AAABl3sicmVwbHlUbyI6W3siZW1haWwiOiJoZWxwQGFjbWUuY29tIiwibmFtZSI6IkhpbGZlIn1dLCJodG1sIjoiPHA+R3LDvMOfZSDwn46JPC9wPiIsInRleHQiOiJHcsO8w59lIPCfjokiLCJjYWxlbmRhciI6eyJtZXRob2QiOiJSRVFVRVNUIiwiY29udGVudCI6IkJFR0lOOlZDQUxFTkRBUiJ9LCJoZWFkZXJzIjp7IlgtQSI6ImIifSwiaW5SZXBseVRvIjpudWxsLCJyZWZlcmVuY2VzIjpbIjxhQGI+Il0sInVuc3Vic2NyaWJlIjpudWxsLCJhdHRhY2htZW50cyI6W3siZmlsZW5hbWUiOiLDvC5iaW4iLCJjb250ZW50VHlwZSI6bnVsbCwiY29udGVudElkIjoibG9nbyIsImJ5dGVzIjozfSx7ImZpbGVuYW1lIjoiYi50eHQiLCJjb250ZW50VHlwZSI6InRleHQvcGxhaW4iLCJjb250ZW50SWQiOm51bGwsImJ5dGVzIjoxfV19AP8KYg==';

/** Content with texts as strings, and files as lists of numbers. */
function toReadable({ html, text, calendar, attachments, ...rest }: Content) {
  const read = (value: string | Uint8Array | undefined | null) => value && Buffer.from(value).toString();
  return {
    ...rest,
    html: read(html),
    text: read(text),
    calendar: calendar && { ...calendar, content: read(calendar.content) },
    attachments: attachments.map((file) => ({ ...file, content: [...file.content] })),
  };
}

test('a record that was read is the same as the one that was written, unless a field has changed', () => {
  const delivery = aDelivery();
  const read = decodeRecord(encodeRecord(delivery), delivery.content);
  expect(encodeRecord(read)).not.toBe(encodeRecord(delivery));
  expect(isSameRecord(read, delivery)).toBe(true);
  expect(isSameRecord({ ...read, revision: read.revision + 1 }, delivery)).toBe(false);
});

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

  test('of version 0.2 is decoded', () => {
    expect(toReadable(decodeContent(Buffer.from(VERSION_0_2, 'base64')))).toEqual({
      replyTo: [{ email: 'help@acme.com', name: 'Hilfe' }],
      html: '<p>Grüße 🎉</p>',
      text: 'Grüße 🎉',
      calendar: { method: 'REQUEST', content: 'BEGIN:VCALENDAR' },
      headers: { 'X-A': 'b' },
      inReplyTo: null,
      references: ['<a@b>'],
      unsubscribe: null,
      attachments: [
        { filename: 'ü.bin', contentType: null, contentId: 'logo', content: [0, 255, 10] },
        { filename: 'b.txt', contentType: 'text/plain', contentId: null, content: [98] },
      ],
    });
  });

  test('of version 0.1, which has no calendar, is decoded', () => {
    const json = Buffer.from('{"replyTo":[],"html":null,"text":"Hi","attachments":[]}');
    const encoded = Buffer.concat([Buffer.from([0, 0, 0, json.length]), json]);
    expect(decodeContent(encoded)).toMatchObject({ text: 'Hi', html: null, calendar: null });
  });

  test('is decoded as it was encoded, for any sizes of its texts and attachments', () => {
    const text = fc
      .tuple(fc.string({ unit: 'grapheme', maxLength: 20 }), fc.constantFrom(1, 100, 7_000, 70_000, 140_000))
      .map(([unit, times]) => unit.repeat(Math.min(times, Math.ceil(400_000 / (unit.length || 1)))))
      .map((string) => string.toWellFormed());
    const bodyText = fc.oneof(
      text,
      text.map((string) => new TextEncoder().encode(string)),
    );
    const content = fc.record({
      html: fc.option(bodyText),
      text: fc.option(bodyText),
      calendar: fc.option(bodyText.map((value) => ({ method: 'REQUEST' as const, content: value }))),
      attachments: fc.array(
        fc.uint8Array({ maxLength: 50 }).map((bytes) => ({ ...ATTACHMENT, content: bytes })),
        { maxLength: 3 },
      ),
    });
    fc.assert(
      fc.property(content, (parts) => {
        const decoded = decodeContent(viewOf(encodeContent({ ...CONTENT, ...parts })));
        expect(toReadable(decoded)).toEqual(toReadable({ ...CONTENT, ...parts }));
      }),
      { numRuns: 200 },
    );
  });

  test.each([
    ['a string', 'Grüße\n"🎉"'.repeat(20_000)],
    ['bytes', new TextEncoder().encode('Grüße\n"🎉"'.repeat(20_000))],
  ])('has a large text apart from its JSON, unescaped: given as %s', (_, text) => {
    const calendar = { method: 'REQUEST' as const, content: text };
    const encoded = Buffer.from(encodeContent({ ...CONTENT, html: text, text, calendar }));
    const bytes = Buffer.from(text);
    const json = encoded.subarray(4, 4 + encoded.readUInt32BE());
    expect(json.length).toBeLessThan(1000);
    expect(encoded.subarray(4 + json.length).equals(Buffer.concat([bytes, bytes, bytes]))).toBe(true);
    // Version 0.2 must not read the message as one without text.
    expect(JSON.parse(String(json))).toMatchObject({
      html: { bytes: bytes.length },
      text: { bytes: bytes.length },
      calendar: { content: { bytes: bytes.length } },
    });
  });
});

describe('the record of a delivery', () => {
  test('is decoded as it was encoded, with the content that is stored separately', () => {
    const delivery = aDelivery({ tags: { ü: 'ö' }, scheduledAt: 1, error: null });
    expect(decodeRecord(encodeRecord(delivery), delivery.content)).toEqual(delivery);
    expect(decodeRecord(encodeRecord(delivery), null)).toEqual({ ...delivery, content: null });
  });

  test('contains the trace of a message, and no field for a message without one', () => {
    const traced = aDelivery({ trace: aTrace() });
    expect(decodeRecord(encodeRecord(traced), traced.content)).toEqual(traced);
    expect(JSON.parse(encodeRecord(aDelivery()))).not.toHaveProperty('trace');
    const read = decodeRecord(encodeRecord(traced), traced.content);
    expect(isSameRecord(read, traced)).toBe(true);
    expect(isSameRecord({ ...read, trace: null }, traced)).toBe(false);
  });

  test('contains the follow-ups of a message, and no field for a message without any', () => {
    const followUp = {
      kind: 'replied',
      at: 5,
      from: 'ada@example.com',
      mailId: '<1@b>',
      recipients: [],
    } as const;
    const followed = aDelivery({ followUps: [followUp] });
    expect(decodeRecord(encodeRecord(followed), followed.content)).toEqual(followed);
    expect(JSON.parse(encodeRecord(aDelivery()))).not.toHaveProperty('followUps');
  });

  test('does not contain the content', () => {
    expect(encodeRecord(aDelivery(aMessage({ text: 'the words' })))).not.toContain('the words');
  });

  test('of version 0.1 is decoded: fields that it does not have get defaults, from the content if possible', () => {
    const {
      trace: _,
      replyTo: __,
      template: ___,
      attachments: ____,
      warnings: _____,
      followUps: ______,
      ...older
    } = aDelivery();
    const record = JSON.stringify({ ...older, content: null });
    expect(decodeRecord(record, null)).toEqual({
      ...older,
      content: null,
      trace: null,
      replyTo: [],
      template: null,
      attachments: [],
      warnings: [],
      followUps: [],
    });
    const replyTo = [{ email: 'help@acme.com', name: null }];
    const file = { ...ATTACHMENT, content: Buffer.from('abc') };
    expect(decodeRecord(record, { ...CONTENT, replyTo, attachments: [file] })).toMatchObject({
      replyTo,
      attachments: [{ filename: 'a.bin', size: 3, contentType: null }],
    });
  });
});
