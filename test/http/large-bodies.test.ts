import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { CRM, exchange, MAIL, startApp } from '../helpers/app.ts';

const FILE = randomBytes(300_000);
const content = FILE.toString('base64');
const withFile = (file: object) => ({ ...MAIL, attachments: [{ filename: 'a.bin', content, ...file }] });

describe('a large body', () => {
  test('is read like a small one: attachments of any size, text and names', async () => {
    await using app = await startApp();
    const text = 'Zwölf Boxkämpfer 🥊 '.repeat(20_000);
    const small = { filename: 'b.txt', content: Buffer.from('b').toString('base64') };
    const answer = await app.send({ ...MAIL, text, attachments: [{ filename: 'a.bin', content }, small] });
    expect(answer.statusCode).toBe(202);
    expect(app.accepted[0]?.draft.content).toMatchObject({
      text: new TextEncoder().encode(text),
      attachments: [
        { filename: 'a.bin', content: new Uint8Array(FILE) },
        { filename: 'b.txt', content: Buffer.from('b') },
      ],
    });
  });

  test('can have base64 with line breaks, and a byte order mark', async () => {
    await using app = await startApp();
    const wrapped = content.replace(/.{76}/g, '$&\r\n');
    const answer = await app.send(Buffer.from(`\ufeff${JSON.stringify(withFile({ content: wrapped }))}`));
    expect(answer.statusCode).toBe(202);
    expect(app.accepted[0]?.draft.content.attachments).toMatchObject([{ content: new Uint8Array(FILE) }]);
  });

  test.each([[[200_000]], [[1, 100, 20_000, 7, 40_000, 5000]], [[3000]]])(
    'can arrive without a length in chunks of these sizes in turn: %j',
    async (sizes) => {
      await using app = await startApp();
      const url = await app.listen();
      const body = JSON.stringify(withFile({}));
      const chunks: string[] = [];
      for (let at = 0, n = 0; at <= body.length; n += 1) {
        const size = sizes[n % sizes.length] ?? 1;
        const chunk = body.slice(at, at + size);
        chunks.push(`${chunk.length.toString(16)}\r\n${chunk}\r\n`);
        at += size;
      }
      chunks.push('0\r\n\r\n');
      const head = `POST /send HTTP/1.1\r\nHost: x\r\nAuthorization: ${CRM.authorization}\r\nContent-Type: application/json\r\n`;
      const answer = await exchange(
        url,
        `${head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.join('')}`,
      );
      expect(answer).toMatch(/^HTTP\/1\.1 202 /);
      expect(
        Buffer.compare(app.accepted[0]?.draft.content.attachments[0]?.content ?? Buffer.alloc(0), FILE),
      ).toBe(0);
    },
  );

  test.each([
    ['invalid base64', { content: `${content.slice(4)}?===` }, '/attachments/0/content', 'invalid_base64'],
    [
      'line breaks and invalid base64',
      { content: `${content}\r\n=` },
      '/attachments/0/content',
      'invalid_base64',
    ],
    ['a list', { content: [content] }, '/attachments/0/content', 'invalid_type'],
    ['nothing', { content: undefined, filename: `${content}` }, '/attachments/0/content', 'required'],
    ['in a shorter field', { filename: content }, '/attachments/0/filename', 'too_long'],
  ])(
    'is refused with %s as the content of an attachment, with its pointer',
    async (_, file, pointer, code) => {
      await using app = await startApp();
      const answer = await app.send(withFile(file));
      expect(answer.statusCode).toBe(422);
      expect(answer.json().errors).toContainEqual(expect.objectContaining({ pointer, code }));
    },
  );

  test.each([
    ['is not JSON', `{"text": "${content}"`, 'is not valid JSON, at line 1'],
    ['repeats a key', `{"text": "${content}", "text": ""}`, 'The key "text" is repeated in an object'],
    [
      'is not UTF-8',
      Buffer.concat([Buffer.from(`{"text": "${content}`), Buffer.from([0xff])]),
      'not valid UTF-8',
    ],
  ])('that %s is refused with the reason', async (_, body, detail) => {
    await using app = await startApp();
    const answer = await app.send(body);
    expect(answer.json()).toMatchObject({
      status: 400,
      code: 'invalid_json',
      detail: expect.stringContaining(detail),
    });
  });

  test.each([
    ['half of a surrogate pair', '\ud800', 'invalid_unicode'],
    ['a NUL character', '\0', 'control_character'],
  ])('with %s in a large text or html is refused like a small one', async (_, character, code) => {
    await using app = await startApp();
    const text = 'x'.repeat(200_000) + character;
    const answer = await app.send({ ...MAIL, text, html: `<p>${text}` });
    expect(answer.statusCode).toBe(422);
    expect(answer.json().errors).toMatchObject([
      { pointer: '/html', code },
      { pointer: '/text', code },
    ]);
  });

  test('of a batch has its attachments decoded, and each message is validated separately', async () => {
    await using app = await startApp();
    const messages = [withFile({}), withFile({ content: '?'.repeat(100_000) }), MAIL];
    const answer = await app.inject({ method: 'POST', url: '/send/batch', headers: CRM, body: { messages } });
    expect(answer.json()).toMatchObject({
      accepted: 2,
      refused: 1,
      results: [{}, { error: { errors: [{ code: 'invalid_base64' }] } }, {}],
    });
    expect(app.accepted[0]?.draft.content.attachments).toMatchObject([{ content: new Uint8Array(FILE) }]);
  });

  test('is the same request for an Idempotency-Key, and a different one if a byte of an attachment differs', async () => {
    await using app = await startApp();
    const key = { 'idempotency-key': 'k1' };
    const first = await app.send(withFile({}), key);
    expect((await app.send(withFile({}), key)).body).toBe(first.body);
    const other = Buffer.from(FILE).fill(FILE.at(-1) === 0 ? 1 : 0, FILE.length - 1);
    expect((await app.send(withFile({ content: other.toString('base64') }), key)).json().code).toBe(
      'idempotency_key_reused',
    );
  });

  test('and many concurrent ones all get a response', async () => {
    await using app = await startApp();
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, i) => app.send(i % 3 === 0 ? withFile({}) : MAIL)),
    );
    expect(answers.map(({ statusCode }) => statusCode)).toEqual(Array(30).fill(202));
  });
});
