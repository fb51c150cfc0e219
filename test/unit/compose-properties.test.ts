import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compose } from '../../src/adapters/smtp/mime/compose.ts';
import type { Job } from '../../src/core/delivery/outcome.ts';
import type { Address } from '../../src/core/message/address.ts';
import { bytesOf } from '../helpers/bytes-of.ts';
import { aGeneratedJob } from '../helpers/generated-jobs.ts';
import {
  hash,
  hasPython,
  type ReadMail,
  type ReadMailbox,
  readByPostalMime,
  readByPython,
} from '../helpers/read-mail.ts';

const MESSAGES = Number(process.env.COMPOSED_MESSAGES ?? 300);

async function composeAll(jobs: readonly Job[]) {
  const messages: { readonly bytes: Buffer; readonly needsSmtpUtf8: boolean }[] = [];
  for (const job of jobs) {
    const { slices, needsSmtpUtf8 } = await compose(job);
    messages.push({ bytes: bytesOf(slices()), needsSmtpUtf8 });
  }
  return messages;
}

/** Runs of 60 blanks are shortened, so that folding makes no line of blanks. */
const shorten = (text: string) => text.replace(/ {60,}/g, ' ');
const withoutBlanks = (text: string) => text.replace(/\s/g, '');
const withoutQuotes = (address: string) => address.replace(/^"(.*)"@/, '$1@');
const toCrlf = (text: string) => text.replace(/\r\n|\r|\n/g, '\r\n');
const toBoxes = (addresses: readonly Address[], toName = (name: string) => name) =>
  addresses.map(({ email, name }): ReadMailbox => [toName(name ?? ''), email]);

test.runIf(hasPython)(
  `${MESSAGES} messages read in Python's email and in postal-mime as they were written (skipped without python3)`,
  { timeout: 600_000 },
  async () => {
    const jobs = fc.sample(aGeneratedJob, MESSAGES);
    const messages = await composeAll(jobs);
    const python = readByPython(messages.map(({ bytes }) => bytes));
    for (const [i, job] of jobs.entries()) {
      const context = JSON.stringify(job);
      expectPythonReads(python[i] as ReadMail, job, context);
      await expectPostalMimeReads((messages[i] as { bytes: Buffer }).bytes, job, context);
    }
  },
);

function expectPythonReads(mail: ReadMail, { envelope, content, messageId, date }: Job, context: string) {
  expect(mail.defects, context).toEqual([]);
  expect((mail.subject ?? '').trim(), context).toBe(shorten(envelope.subject));
  // Python keeps the blank between two encoded words of a name.
  const read = (boxes: readonly ReadMailbox[]) =>
    boxes.map(([name, address]) => [withoutBlanks(name), withoutQuotes(address)]);
  expect([mail.from, mail.to, mail.cc, mail.replyTo].map(read), context).toEqual(
    [[envelope.from], envelope.to, envelope.cc, content.replyTo].map((all) => toBoxes(all, withoutBlanks)),
  );
  expect([mail.date, mail.message_id, mail.in_reply_to?.trim() ?? null, mail.references], context).toEqual([
    date,
    messageId,
    content.inReplyTo,
    content.references,
  ]);
  for (const [name, value] of Object.entries(content.headers))
    expect(mail.headers[name]?.trim(), context).toBe(shorten(value));
  const isFree = (name: string) => name.startsWith('x-');
  const free = Object.keys(content.headers)
    .map((name) => name.toLowerCase())
    .filter(isFree);
  expect(mail.names.filter(isFree), context).toEqual(free.toSorted());
  expectFiles(mail, content, context);
}

function expectFiles({ parts }: ReadMail, content: Job['content'], context: string) {
  const files = parts.filter(({ name }) => typeof name === 'string');
  const asked = content.attachments.map((file) => ({
    name: shorten(file.filename.trim()),
    disposition: file.contentId === null ? 'attachment' : 'inline',
    content_id: file.contentId && `<${file.contentId}>`,
    sha256: hash(file.content),
  }));
  const invitation = content.calendar && hash(Buffer.from(toCrlf(String(content.calendar.content))));
  if (invitation !== null)
    asked.push({ name: 'invite.ics', disposition: 'attachment', content_id: null, sha256: invitation });
  expect(
    files.map(({ name, disposition, content_id, sha256 }) => ({ name, disposition, content_id, sha256 })),
    context,
  ).toEqual(expect.arrayContaining(asked));
  expect(files, context).toHaveLength(asked.length);
  // A parameter that names the file in another way than its disposition could mislead a reader.
  expect(
    files.map(({ parameters }) => parameters.name),
    context,
  ).toEqual(files.map(({ name }) => name));

  const hashOf = (type: string) => parts.find((part) => part.type === type && part.name === null)?.sha256;
  const texts = { plain: content.text, html: content.html, calendar: content.calendar?.content ?? null };
  for (const [subtype, text] of Object.entries(texts)) {
    if (text === null) continue;
    // Alone, a text ends in a line end.
    const ends = parts.length === 1 ? ['', '\r\n'] : [''];
    expect(
      ends.map((end) => hash(Buffer.from(toCrlf(String(text)) + end))),
      context,
    ).toContain(hashOf(`text/${subtype}`));
  }
}

async function expectPostalMimeReads(bytes: Buffer, { envelope, content }: Job, context: string) {
  const mail = await readByPostalMime(bytes);
  expect(mail.subject, context).toBe(shorten(envelope.subject));
  const read = (boxes: readonly ReadMailbox[]) =>
    boxes.map(([name, address]) => [name, withoutQuotes(address)]);
  expect([mail.from, mail.to, mail.cc, mail.replyTo].map(read), context).toEqual(
    [[envelope.from], envelope.to, envelope.cc, content.replyTo].map((all) => toBoxes(all)),
  );
  if (content.html !== null)
    expect(withoutBlanks(mail.html), context).toContain(withoutBlanks(String(content.html)));
}

test(`${MESSAGES} messages keep the limits of RFC 5322, 2045, 2047, 2231 and 6532`, {
  timeout: 600_000,
}, async () => {
  const jobs = fc.sample(aGeneratedJob, MESSAGES);
  const messages = await composeAll(jobs);
  for (const [i, job] of jobs.entries()) {
    const { bytes, needsSmtpUtf8 } = messages[i] as (typeof messages)[number];
    const context = JSON.stringify(job);
    const lines = bytes.toString('latin1').split('\r\n');
    expect(lines.join('').search(/[\r\n]/), context).toBe(-1);
    expect(Math.max(...lines.map(({ length }) => length)), context).toBeLessThanOrEqual(998);
    expect(lines.at(-1)).toBe('');
    const head = lines.slice(0, lines.indexOf(''));
    expectHeaderLines(head, context);
    expectPartsInBoundaries(lines, context);
    // Bytes beyond ASCII are only in addresses of the header (RFC 6532), and are announced.
    expect(
      head.some((line) => /[^ -~\t]/.test(line)),
      context,
    ).toBe(needsSmtpUtf8);
    expect(
      lines
        .slice(head.length)
        .join('\n')
        .search(/[^\0-\x7f]/),
      context,
    ).toBe(-1);
  }
});

/** Lines of the header, or of the header of a part. */
function expectHeaderLines(lines: readonly string[], context: string) {
  for (const line of lines) {
    // RFC 5322, sections 2.2 and 3.2.2.
    expect(line, context).toMatch(/^(?:[!-9;-~]+:| *[^ ])/);
    const words = line.match(/=\?[^? ]+\?[BQ]\?[^? ]*\?=/g) ?? [];
    // RFC 2047, section 2.
    if (words.length > 0) expect(line.length, context).toBeLessThanOrEqual(76);
    for (const word of words) {
      expect(word.length, context).toBeLessThanOrEqual(75);
      expect(isWhole(decodeWord(word)), `${word} ${context}`).toBe(true);
    }
    // RFC 2231, section 3: each piece has whole characters, though that is not required.
    for (const [, piece = ''] of line.matchAll(/\*\d*\*=(?:utf-8'')?([^;]*)/g)) {
      expect(piece, context).toMatch(/^(?:[A-Za-z0-9!#$&+\-.^_`{|}~]|%[0-9A-F]{2})*$/);
      expect(isWhole(decodePercents(piece)), `${piece} ${context}`).toBe(true);
      expect(line.length, context).toBeLessThanOrEqual(78);
    }
  }
}

/** Each boundary delimits parts only: as many as there are, and the end once. */
function expectPartsInBoundaries(lines: readonly string[], context: string) {
  const text = lines.join('\n');
  for (const [, boundary = ''] of text.matchAll(
    /^Content-Type: multipart\/[^;]*;(?:[^"\n]|\n )*boundary="([^"]*)"$/gm,
  )) {
    expect(boundary.length, context).toBeLessThanOrEqual(70);
    const delimiters = lines.filter((line) => line.startsWith(`--${boundary}`));
    expect(delimiters.at(-1), context).toBe(`--${boundary}--`);
    expect(new Set(delimiters.slice(0, -1)), context).toEqual(new Set([`--${boundary}`]));
    for (const part of text.split(`--${boundary}\n`).slice(1)) {
      const head = part.slice(0, part.indexOf('\n\n')).split('\n');
      expect(
        head.some((line) => line.startsWith('Content-Type:')),
        context,
      ).toBe(true);
      expectHeaderLines(head, context);
    }
  }
}

function decodeWord(word: string): Buffer {
  const [, , encoding, payload = ''] = word.split('?');
  return encoding === 'B' ? Buffer.from(payload, 'base64') : decodePercents(payload.replaceAll('=', '%'));
}

function decodePercents(text: string): Buffer {
  return Buffer.from(
    text.replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
}

function isWhole(bytes: Buffer): boolean {
  return Buffer.from(bytes.toString()).equals(bytes);
}
