import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import PostalMime from 'postal-mime';
import { expect, test } from 'vitest';
import { compose } from '../../src/adapters/smtp/mime/compose.ts';
import type { Job } from '../../src/core/delivery/outcome.ts';
import { parseEmail } from '../../src/core/message/address.ts';
import type { BodyText } from '../../src/core/message/body-text.ts';

const MESSAGES = Number(process.env.COMPOSED_MESSAGES ?? 300);

const printable = (maxLength: number) =>
  fc
    .oneof(
      { weight: 4, arbitrary: fc.string({ unit: 'grapheme', maxLength }) },
      { weight: 2, arbitrary: fc.string({ maxLength }) },
      {
        weight: 1,
        arbitrary: fc
          .array(
            fc.constantFrom(
              'Grüße',
              '請求書',
              'счёт',
              '😀👩‍👩‍👧',
              '=?utf-8?q?x?=',
              'word',
              'w'.repeat(90),
              '"',
              '\\',
              ',',
              '<a@b.c>',
              '  ',
              'e\u0301',
            ),
            { maxLength: maxLength / 12 },
          )
          .map((words) => words.join(' ')),
      },
    )
    .map((text) =>
      text
        .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/gu, '')
        .trim()
        .slice(0, maxLength)
        .toWellFormed(),
    );

const body = fc
  .oneof(
    fc.string({ unit: 'grapheme', maxLength: 400 }),
    fc
      .array(
        fc.constantFrom(
          '\r\n',
          '\n',
          '\r',
          '.',
          '..',
          ' ',
          '\t',
          '=',
          'From x',
          '--',
          'ä',
          '請',
          '😀',
          'word '.repeat(40),
          'w'.repeat(1200),
          '\u0000',
          '\u007f',
        ),
        { maxLength: 60 },
      )
      .map((pieces) => pieces.join('')),
  )
  .map((text) => text.toWellFormed());

const email = fc
  .constantFrom(
    'ada@example.com',
    "o'hara+tag@example.com",
    'a..b@docomo.ne.jp',
    'χρήστης@παράδειγμα.gr',
    'x_y=z@xn--bcher-kva.example',
  )
  .map(parseEmail);
const mailbox = fc.record({
  email,
  name: fc.oneof(
    fc.constant(null),
    printable(200).map((name) => name || null),
  ),
});
const attachment = fc.record({
  filename: printable(150).map((name) => name.replace(/[/\\]/g, '') || 'a'),
  content: fc.uint8Array({ maxLength: 300 }),
  contentType: fc.constantFrom(
    null,
    'application/pdf',
    'text/csv; charset=utf-8',
    'message/rfc822',
    'image/png',
  ),
  contentId: fc.constantFrom(null, null, 'logo@acme', 'a=b'),
});

const aJob: fc.Arbitrary<Job> = fc
  .record({
    from: mailbox,
    to: fc.array(mailbox, { minLength: 1, maxLength: 5 }),
    cc: fc.array(mailbox, { maxLength: 2 }),
    replyTo: fc.array(mailbox, { maxLength: 2 }),
    subject: printable(900),
    text: fc.oneof(fc.constant(null), body),
    html: fc.oneof(fc.constant(null), body),
    attachments: fc.array(attachment, { maxLength: 3 }),
    reference: printable(400),
    references: fc.array(fc.constantFrom('<a@b>', `<${'r'.repeat(900)}@b>`, '<c,d@e>'), { maxLength: 4 }),
    calendar: fc.constantFrom(null, {
      method: 'REQUEST' as const,
      content: 'BEGIN:VCALENDAR\nMETHOD:REQUEST\nSUMMARY:Grüße\nEND:VCALENDAR',
    }),
    url: fc.constantFrom(null, 'https://acme.com/u?id=1&x=ü', `https://acme.com/${'u'.repeat(800)}`),
  })
  .map(
    ({ from, to, cc, subject, replyTo, text, html, attachments, reference, references, calendar, url }) => ({
      id: 'msg_0123456789abcdef0123456789abcdef',
      messageId: '<msg_0123456789abcdef0123456789abcdef@acme.com>',
      date: Date.UTC(2026, 10, 21, 9, 30),
      envelope: { from, to, cc, bcc: [], subject },
      recipients: to.map((one) => one.email),
      content: {
        replyTo,
        text: text ?? (html === null ? '' : null),
        html,
        attachments,
        calendar,
        headers: { 'X-Ref': reference || 'x' },
        inReplyTo: references[0] ?? null,
        references,
        unsubscribe: url === null ? null : { url, email: 'leave@acme.com', oneClick: true },
      },
    }),
  );

/** A text that spans several slices of the encoders, with bytes that escape or break lines between. */
const longBody = fc
  .tuple(
    fc.array(fc.constantFrom('a', '\r', '\n', '\r\n', '.', '=', ' ', 'ä', '請', '😀', 'word '), {
      minLength: 1,
      maxLength: 6,
    }),
    fc.constantFrom(1, 50_000, 58_367, 58_368, 130_000),
    body,
  )
  .map(([units, length, end]) => {
    const unit = units.join('');
    return unit.repeat(Math.ceil(length / unit.length)) + end;
  });

const aLargeJob: fc.Arbitrary<Job> = fc
  .tuple(aJob, fc.option(longBody), fc.option(longBody))
  .map(([job, text, html]) => ({
    ...job,
    content: { ...job.content, html, text: text ?? (html === null ? 'Hello.' : null) },
  }));

const toLf = (text: string) => text.replace(/\r\n|\r|\n/g, '\n');
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

const hasPython = spawnSync('python3', ['--version']).status === 0 || process.env.CI === 'true';

test.runIf(hasPython)(
  `${MESSAGES} messages read in Python's email and in postal-mime as they were written (skipped without python3)`,
  {
    timeout: 600_000,
  },
  async () => {
    const jobs = fc.sample(aJob, MESSAGES);
    const messages = await Promise.all(
      jobs.map(async (job) => Buffer.concat([...(await compose(job)).slices()])),
    );
    const input = Buffer.concat(messages.flatMap((bytes) => [Buffer.from(`${bytes.length}\n`), bytes]));
    const { stdout, stderr } = spawnSync('python3', ['test/helpers/read-mail.py'], {
      input,
      maxBuffer: 2 ** 30,
    });
    expect(String(stderr)).toBe('');
    const read = String(stdout)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    for (const [i, job] of jobs.entries()) {
      const { envelope, content } = job;
      const bytes = messages[i] as Buffer;
      const lines = bytes.toString('latin1').split('\r\n');
      const context = JSON.stringify(job);
      expect(lines.join('').search(/[\r\n]/), context).toBe(-1);
      expect(Math.max(...lines.map((line) => line.length)), context).toBeLessThanOrEqual(998);
      expect(lines.at(-1)).toBe('');
      const head = lines.slice(0, lines.indexOf(''));
      expect(
        head.filter((line) => line.trim() === ''),
        context,
      ).toEqual([]);

      const python = read[i];
      expect(python.defects, context).toEqual([]);
      expect((python.subject ?? '').trim(), context).toBe(envelope.subject);
      expect(python.headers, context).toEqual([['X-Ref', content.headers['X-Ref']]]);
      const boxes = (list: readonly { email: string; name: string | null }[]) =>
        list.map(({ email: address, name }) => [name ?? '', address]);
      // Python keeps blanks between two encoded words of a phrase.
      const close = ([name, address]: readonly string[]) => [
        name?.replace(/\s/g, ''),
        address?.replace(/^"(.*)"@/, '$1@'),
      ];
      const closeBoxes = (list: readonly { email: string; name: string | null }[]) => plain(boxes(list));
      const plain = (list: readonly (readonly string[])[]) => list.map(close);
      expect(plain(python.from), context).toEqual(closeBoxes([envelope.from]));
      expect(plain(python.to), context).toEqual(closeBoxes(envelope.to));
      expect(plain(python.cc), context).toEqual(closeBoxes(envelope.cc));
      expect(plain(python.reply_to), context).toEqual(closeBoxes(content.replyTo));
      expect(python.references ?? [], context).toEqual(content.references);
      const canonical = (text: string) => hash(Buffer.from(toLf(text).replaceAll('\n', '\r\n')));
      const files = python.parts.filter(([, name]: [string, string | null]) => name !== null);
      expect(files.map((part: string[]) => [part[1], part[4]]).toSorted(), context).toEqual(
        content.attachments
          .map((file) => [file.filename.trim() || 'attachment', hash(file.content)])
          .concat(content.calendar ? [['invite.ics', canonical(String(content.calendar.content))]] : [])
          .toSorted(),
      );

      const textHash = (type: string) =>
        python.parts.find((part: string[]) => part[0] === type && part[1] === null)?.[4];
      const single = content.html === null && content.attachments.length === 0 && content.calendar === null;
      if (content.text !== null && !single)
        expect(textHash('text/plain'), context).toBe(canonical(String(content.text)));
      if (content.html !== null) expect(textHash('text/html'), context).toBe(canonical(String(content.html)));
      if (content.calendar !== null)
        expect(textHash('text/calendar'), context).toBe(canonical(String(content.calendar.content)));

      const mail = await PostalMime.parse(bytes, { attachmentEncoding: 'arraybuffer' });
      expect(mail.subject ?? '', context).toBe(envelope.subject);
      expect(
        mail.to?.map(({ name, address = '' }) => [name, address.replace(/^"(.*)"@/, '$1@')]),
        context,
      ).toEqual(boxes(envelope.to));
      const words = (text: string | undefined) => (text ?? '').replace(/\s+/g, ' ').trim();
      if (content.html !== null) expect(words(mail.html), context).toBe(words(String(content.html)));
    }
  },
);

test.each([
  ['generated messages', aJob, 5 * MESSAGES],
  ['messages with long texts', aLargeJob, MESSAGES],
])('the size of %s is known before they are composed', { timeout: 600_000 }, async (_, jobs, numRuns) => {
  await fc.assert(
    fc.asyncProperty(jobs, async (job) => {
      const message = await compose(job);
      const size = await message.size();
      expect(Buffer.concat([...message.slices()]).length).toBe(size);
    }),
    { numRuns },
  );
});

test('a message with its texts as bytes is composed like one with strings', {
  timeout: 600_000,
}, async () => {
  const toBytes = (text: BodyText | null) => text && Buffer.from(text);
  await fc.assert(
    fc.asyncProperty(fc.oneof(aJob, aLargeJob), async (job) => {
      const { html, text, calendar } = job.content;
      const inBytes = {
        html: toBytes(html),
        text: toBytes(text),
        calendar: calendar && { ...calendar, content: Buffer.from(calendar.content) },
      };
      const [written, read] = await Promise.all([
        compose(job),
        compose({ ...job, content: { ...job.content, ...inBytes } }),
      ]);
      expect(Buffer.concat([...read.slices()]).equals(Buffer.concat([...written.slices()]))).toBe(true);
    }),
    { numRuns: MESSAGES },
  );
});
