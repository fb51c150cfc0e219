import { describe, expect, test } from 'vitest';
import { MAIL, startApp } from '../helpers/app.ts';

function withFiles(...files: object[]) {
  return { ...MAIL, attachments: files.map((file) => ({ filename: 'a.pdf', content: 'JVBERi0=', ...file })) };
}

describe('attachments', () => {
  test.each([
    ['a space', 'JVBE Ri0=', 'without spaces'],
    ['line breaks and missing padding', 'JVBE\r\nRi0', 'padded'],
    ['line breaks and other characters', 'JVB*\nRi0=', 'Must be base64'],
    ['a data URL', 'data:application/pdf;base64,JVBERi0=', 'data:'],
    ['the URL alphabet', '-_-_', 'standard alphabet'],
    ['the URL alphabet somewhere', 'YW-jYWJj', 'standard alphabet'],
    ['missing padding', 'JVBERi0', 'padded'],
    ['too much padding', 'JVBERi0==', 'padded'],
    ['padding in the middle', 'YQ==YWJj', 'Must be base64'],
    ['stray bits at the end', 'YR==', 'Must be base64'],
    ['characters outside the alphabet', 'JVB*Ri0=', 'Must be base64'],
    ['padding alone', '====', 'Must be base64'],
  ])('refuses base64 with %s', async (_, content, words) => {
    await using app = await startApp();
    const response = await app.send(withFiles({ content }));
    expect(response.json().errors).toEqual([
      { pointer: '/attachments/0/content', code: 'invalid_base64', detail: expect.stringContaining(words) },
    ]);
  });

  test('decodes every byte for every length', async () => {
    await using app = await startApp();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const files = [0, 1, 2, 3, 255, 256].map((length) => bytes.subarray(0, length));
    const response = await app.send(
      withFiles(...files.map((file) => ({ content: file.toString('base64') }))),
    );
    expect(response.statusCode).toBe(202);
    expect(app.accepted[0]?.draft.content.attachments.map(({ content }) => content)).toEqual(files);
  });

  test.each(['\r\n', '\n', '\r\n\t', '\n    '])('decodes base64 in lines separated by %j', async (end) => {
    await using app = await startApp();
    const file = Buffer.from(Array.from({ length: 200 }, (_, i) => i));
    const lines = file.toString('base64').match(/.{1,76}/g) ?? [];
    const response = await app.send(
      withFiles({ content: lines.join(end) }, { content: `${lines.join(end)}${end}` }),
    );
    expect(response.statusCode).toBe(202);
    expect(app.accepted[0]?.draft.content.attachments.map(({ content }) => content)).toEqual([file, file]);
  });

  test('reports a file type that Gmail blocks with its own code, the file name and a pointer', async () => {
    await using app = await startApp();
    const response = await app.send(withFiles({}, { filename: 'setup.EXE' }));
    expect(response.statusCode).toBe(422);
    expect(response.json()).toMatchObject({
      code: 'attachment_blocked',
      type: '/problems/attachment_blocked',
      detail: expect.stringContaining('setup.EXE'),
      errors: [
        {
          pointer: '/attachments/1/filename',
          code: 'attachment_blocked',
          detail: expect.stringContaining('".exe"'),
        },
      ],
    });
  });

  test('lists a blocked file among the errors of a request', async () => {
    await using app = await startApp();
    const response = await app.send({ ...withFiles({ filename: 'a.bat' }), subject: '' });
    expect(response.json()).toMatchObject({
      code: 'validation_failed',
      errors: [
        { pointer: '/attachments/0/filename', code: 'attachment_blocked' },
        { pointer: '/subject', code: 'too_short' },
      ],
    });
  });

  test.each([
    ['a path as filename', { filename: '../etc/passwd' }, '/filename', 'invalid_filename'],
    ['a Windows path as filename', { filename: 'C:\\a.pdf' }, '/filename', 'invalid_filename'],
    ['an empty filename', { filename: '' }, '/filename', 'too_short'],
    ['a line break in the filename', { filename: 'a\r\nX: y.pdf' }, '/filename', 'control_character'],
    ['a word as media type', { content_type: 'pdf' }, '/content_type', 'invalid_format'],
    ['a multipart', { content_type: 'multipart/mixed; boundary=x' }, '/content_type', 'invalid_format'],
    ['a quote that does not end', { content_type: 'text/plain; a="b' }, '/content_type', 'invalid_format'],
    ['brackets around the content_id', { content_id: '<logo>' }, '/content_id', 'invalid_format'],
    ['a space in the content_id', { content_id: 'the logo' }, '/content_id', 'invalid_format'],
  ])('refuses %s', async (_, file, pointer, code) => {
    await using app = await startApp();
    expect((await app.send(withFiles(file))).json().errors).toMatchObject([
      { pointer: `/attachments/0${pointer}`, code },
    ]);
  });

  test('refuses a line break in the media type', async () => {
    await using app = await startApp();
    const { errors } = (await app.send(withFiles({ content_type: 'text/plain\r\nX: y' }))).json();
    expect(errors).toContainEqual(
      expect.objectContaining({ pointer: '/attachments/0/content_type', code: 'control_character' }),
    );
  });

  test('refuses two inline images with the same content_id', async () => {
    await using app = await startApp();
    const response = await app.send(withFiles({ content_id: 'logo' }, { content_id: 'logo' }));
    expect(response.json().errors).toMatchObject([{ pointer: '/attachments', code: 'duplicate_content_id' }]);
  });

  test('refuses more than 100 attachments', async () => {
    await using app = await startApp();
    const response = await app.send(withFiles(...Array(101).fill({})));
    expect(response.json().errors).toMatchObject([{ pointer: '/attachments', code: 'too_many' }]);
  });

  test('refuses attachments by path or URL', async () => {
    await using app = await startApp();
    for (const field of ['path', 'url', 'href', 'raw']) {
      const response = await app.send(withFiles({ [field]: 'https://a.example/' }));
      expect(response.json().errors).toMatchObject([
        { pointer: `/attachments/0/${field}`, code: 'unknown_field' },
      ]);
    }
  });
});
