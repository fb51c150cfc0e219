import { domainToASCII } from 'node:url';
import fc from 'fast-check';
import { decodeWords } from 'postal-mime';
import { expect, test } from 'vitest';
import { compose } from '../../src/adapters/smtp/mime/compose.ts';
import type { Job } from '../../src/core/delivery/outcome.ts';
import { bytesOf } from '../helpers/bytes-of.ts';
import { aGeneratedJob } from '../helpers/generated-jobs.ts';
import { composeByNodemailer } from '../helpers/nodemailer-message.ts';
import {
  hasPython,
  type ReadMail,
  type ReadMailbox,
  type ReadPart,
  readByPostalMime,
  readByPython,
} from '../helpers/read-mail.ts';

const MESSAGES = Number(process.env.COMPOSED_MESSAGES ?? 200);

/** A message as both readers read it. */
interface Read {
  readonly python: ReadMail;
  readonly postalMime: Awaited<ReturnType<typeof readByPostalMime>>;
}

/** A difference from nodemailer that is meant: `level` maps both readings so that it does not show. */
interface Difference {
  readonly reason: string;
  level(read: Read, job: Job): Read;
}

const DIFFERENCES: readonly Difference[] = [
  {
    reason: 'nodemailer writes the domain of a non-ASCII address in U-labels; both are one domain (RFC 6531)',
    level: ({ python, postalMime }) => {
      const level = ([name, address]: ReadMailbox): ReadMailbox => [name, toALabels(address)];
      return { python: mapMailboxes(python, level), postalMime: mapMailboxes(postalMime, level) };
    },
  },
  {
    reason: 'Python keeps the blank between two encoded words of a name; they break at other places',
    level: ({ python, postalMime }) => ({
      python: mapMailboxes(python, ([name, address]) => [name.replace(/\s/g, ''), address]),
      postalMime,
    }),
  },
  {
    reason: 'nodemailer leaves text that looks like an encoded word as it is, so that it is decoded',
    level: (read) => mapTexts(read, decodeWords),
  },
  {
    reason: 'runs of 60 blanks are shortened, so that no line has blanks only (RFC 5322, section 3.2.2)',
    level: (read) => mapTexts(read, (text) => text.replace(/ {60,}/g, ' ')),
  },
  {
    reason: 'nodemailer leaves the first line of a field with a long first word empty: readers see a blank',
    level: (read) => mapTexts(read, (text) => text.trim()),
  },
  {
    reason: 'nodemailer changes the case of header names',
    level: ({ python, postalMime }) => ({
      python: {
        ...python,
        headers: Object.fromEntries(
          Object.entries(python.headers).map(([name, value]) => [name.toLowerCase(), value]),
        ),
      },
      postalMime,
    }),
  },
  {
    reason:
      'nodemailer writes filenames as encoded words in quoted strings, which RFC 2047, section 5, forbids',
    level: ({ python, postalMime }) => ({
      python: mapParts({ ...python, defects: [] }, (part) => withoutParameter('name', part)),
      postalMime,
    }),
  },
  {
    reason: 'nodemailer writes filenames with an asterisk as tokens; Python reads only what is before it',
    level: ({ python, postalMime }) => ({
      python: mapParts(python, (part) => ({ ...part, name: (part.name ?? '').replace(/\*.*/s, '') })),
      postalMime,
    }),
  },
  {
    reason: 'invite.ics has a charset: without one, a reader may take its text for US-ASCII',
    level: ({ python, postalMime }) => ({
      python: mapParts(python, (part) =>
        part.name === 'invite.ics' ? withoutParameter('charset', part) : part,
      ),
      postalMime,
    }),
  },
  {
    reason:
      'all line ends of a text become CRLF (RFC 2046, section 4.1.1); nodemailer keeps some and adds one',
    level: ({ python, postalMime }) => ({
      python: mapParts(python, (part) => {
        const isText = part.type.startsWith('text/') || part.type === 'application/ics';
        return isText ? { ...part, sha256: part.lines_sha256 } : part;
      }),
      postalMime: {
        ...postalMime,
        text: postalMime.text.replace(/\s/g, ''),
        html: postalMime.html.replace(/\s|<br *\/>/g, ''),
        attachments: postalMime.attachments.map((file) => ({ ...file, sha256: file.linesSha256 })),
      },
    }),
  },
];

function mapTexts<Value>(value: Value, map: (text: string) => string): Value {
  return JSON.parse(JSON.stringify(value), (_key, part) => (typeof part === 'string' ? map(part) : part));
}

function mapMailboxes<Reading extends ReadMail | Read['postalMime']>(
  reading: Reading,
  map: (mailbox: ReadMailbox) => ReadMailbox,
): Reading {
  const { from, to, cc, replyTo } = reading;
  return { ...reading, from: from.map(map), to: to.map(map), cc: cc.map(map), replyTo: replyTo.map(map) };
}

function mapParts(python: ReadMail, map: (part: ReadPart) => ReadPart): ReadMail {
  return { ...python, parts: python.parts.map(map) };
}

function withoutParameter(unwanted: string, part: ReadPart): ReadPart {
  const parameters = Object.entries(part.parameters).filter(([name]) => name !== unwanted);
  return { ...part, parameters: Object.fromEntries(parameters) };
}

function toALabels(address: string): string {
  const at = address.lastIndexOf('@');
  return address.slice(0, at + 1) + domainToASCII(address.slice(at + 1));
}

/** Composes a job by our composer and by nodemailer's. */
async function composeTwice(job: Job): Promise<[ours: Buffer, nodemailers: Buffer]> {
  const { fields, slices } = await compose(job);
  const unsubscribe = fields
    .filter((field) => field.startsWith('List-Unsubscribe'))
    .map((field) => field.replaceAll('\r\n', ''))
    .map((field) => [field.slice(0, field.indexOf(':')), field.slice(field.indexOf(':') + 1).trim()]);
  return [bytesOf(slices()), await composeByNodemailer(job, Object.fromEntries(unsubscribe))];
}

test.runIf(hasPython)(
  `${MESSAGES} messages read the same as from nodemailer's composer, but for the listed differences (skipped without python3)`,
  { timeout: 600_000 },
  async () => {
    const jobs = fc.sample(aGeneratedJob, MESSAGES);
    const messages: [Buffer, Buffer][] = [];
    for (const job of jobs) messages.push(await composeTwice(job));
    const python = readByPython(messages.flat());
    for (const [i, job] of jobs.entries()) {
      const level = (read: Read) => DIFFERENCES.reduce((levelled, one) => one.level(levelled, job), read);
      const [ours, nodemailers] = await Promise.all(
        (messages[i] as [Buffer, Buffer]).map(async (bytes, side) =>
          level({ python: python[2 * i + side] as ReadMail, postalMime: await readByPostalMime(bytes) }),
        ),
      );
      expect(ours, JSON.stringify(job)).toEqual(nodemailers);
    }
  },
);
