import { describe, expect, test } from 'vitest';
import { MAIL, startApp } from '../helpers/app.ts';

const id = (n: number) => `<${n}@example.com>`;
const ids = (count: number) => Array.from({ length: count }, (_, i) => id(i));

describe('a Message-ID of another program', () => {
  test.each([
    ['<a@b.example>', '<a@b.example>'],
    ['  <a@b.example>\t', '<a@b.example>'],
    ['<<a@b.example>>', '<a@b.example>'],
    ['< <a@b.example> >', '<a@b.example>'],
    ['a@b.example', '<a@b.example>'],
    ['<a@b.example', '<a@b.example>'],
    ['<20270101.1234>', '<20270101.1234>'],
    ['<a@>', '<a@>'],
    ['<@b>', '<@b>'],
    ['<a@b@c>', '<a@b@c>'],
    ['<[a]@[10.0.0.1]>', '<[a]@[10.0.0.1]>'],
    ['<(a)@{b}>', '<(a)@{b}>'],
    ['<a<b>c@d>', '<a<b>c@d>'],
    ['<a\\b@c>', '<a\\b@c>'],
    ['<a,b;c:d@e>', '<a,b;c:d@e>'],
    ['<"a"@b>', '<"a"@b>'],
    ['<=?utf-8?q?a?=@b>', '<=?utf-8?q?a?=@b>'],
    [`<${'x'.repeat(995)}>`, `<${'x'.repeat(995)}>`],
  ])('%j is accepted in its canonical form', async (written, kept) => {
    await using app = await startApp();
    expect((await app.send({ ...MAIL, in_reply_to: written, references: [written] })).statusCode).toBe(202);
    expect(app.accepted[0]?.draft.content).toMatchObject({ inReplyTo: kept, references: [kept] });
  });

  test.each([
    '<>',
    '<<>>',
    '< >',
    ' ',
    '<a b@c>',
    '<a@b> <c@d>',
    '<a@b>\r\nBcc: eve@evil.test',
    '<a\t@b>',
    '<a\0@b>',
    '<ä@b>',
    '<a@b\u2028>',
  ])('%j is refused', async (written) => {
    await using app = await startApp();
    const { errors } = (
      await app.send({ ...MAIL, in_reply_to: written, references: [id(1), written] })
    ).json();
    expect(errors).toMatchObject([
      { pointer: '/in_reply_to', code: 'invalid_format' },
      { pointer: '/references/1', code: 'invalid_format' },
    ]);
  });

  test('that is longer than a line is refused', async () => {
    await using app = await startApp();
    for (const long of [`<${'x'.repeat(996)}>`, `<${'x'.repeat(3000)}>`]) {
      expect((await app.send({ ...MAIL, in_reply_to: long })).json().errors).toMatchObject([
        { pointer: '/in_reply_to' },
      ]);
    }
  });

  test('is refused at any length, in time linear in its length', async () => {
    await using app = await startApp();
    for (const hostile of ['> '.repeat(500_000), `${' '.repeat(500_000)}x`, '<'.repeat(500_000)]) {
      expect((await app.send({ ...MAIL, in_reply_to: `${hostile}\n`, references: hostile })).statusCode).toBe(
        422,
      );
    }
  });
});

describe('references', () => {
  test.each([1, 99, 100])('are kept when there are %i of them', async (count) => {
    await using app = await startApp();
    await app.send({ ...MAIL, references: ids(count) });
    expect(app.accepted[0]?.draft.content.references).toEqual(ids(count));
  });

  test.each([101, 5000])('are reduced to the first and the latest 99 when there are %i', async (count) => {
    await using app = await startApp();
    await app.send({ ...MAIL, references: ids(count) });
    await app.send({ ...MAIL, references: ids(count).join(' ') });
    const kept = [id(0), ...ids(count).slice(-99)];
    expect(app.accepted.map(({ draft }) => draft.content.references)).toEqual([kept, kept]);
  });

  test.each(['<1@a> <2@b>', '<1@a>\t <2@b>', ' <1@a>\r\n <2@b> ', '<<1@a>>\n\t2@b'])(
    'can be a copied header: %j',
    async (references) => {
      await using app = await startApp();
      await app.send({ ...MAIL, references });
      expect(app.accepted[0]?.draft.content.references).toEqual(['<1@a>', '<2@b>']);
    },
  );

  test.each(['<1@a>\r\nX: y', '<1@a> <ä@b>', '<> <1@a>'])('cannot be %j', async (references) => {
    await using app = await startApp();
    expect((await app.send({ ...MAIL, references })).json().errors).toMatchObject([
      { pointer: '/references', code: 'invalid_format' },
    ]);
  });

  test.each([5, true, { a: 1 }])('that are %j are refused', async (references) => {
    await using app = await startApp();
    expect((await app.send({ ...MAIL, references })).json().errors).toEqual([
      {
        pointer: '/references',
        code: 'invalid_type',
        detail: expect.stringContaining('a list of Message-IDs'),
      },
    ]);
  });
});
