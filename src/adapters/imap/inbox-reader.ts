import type { FetchMessageObject, FetchQueryObject, ImapFlow } from 'imapflow';
import type { InboundMail } from '../../core/inbound/inbound-mail.ts';
import { SECOND } from '../../core/time.ts';
import { MailboxError, unavailable } from './imap-errors.ts';
import type { InboundParser } from './inbound/inbound-parser.ts';
import { MAX_MAIL_BYTES } from './inbound/read-mail.ts';
import type { Suspects } from './suspects.ts';

/** A mail of an open mailbox. */
export interface ReadMail {
  readonly uid: number;
  /** The report or the reply. Null: it cannot concern a message of ours, or could not be read. */
  readonly mail: InboundMail | null;
  /** INTERNALDATE, in epoch ms. */
  readonly receivedAt: number;
}

export interface InboxReaderOptions {
  readonly parser: InboundParser;
  /** Whether replies are wanted, beside reports. */
  readonly replies: boolean;
  /** Called for a mail that cannot be read. It is skipped. */
  readonly onUnreadable: () => void;
  /** Limit of one command, in ms. */
  readonly commandMs: number;
}

/** The bytes of a report that are read. `isCut`: it has more. */
interface Report {
  readonly bytes: Buffer;
  readonly isCut: boolean;
}

/** Mails per FETCH. */
const CHUNK = 50;
/**
 * Longer headers are cut. Gmail's have about 8 KB. Not HEADER.FIELDS, of which imapflow cannot limit
 * the size: a hostile header would end the connection.
 */
const MAX_HEADER_BYTES = 32 * 1024;
const NO_HEADERS = Buffer.from('\r\n');

/**
 * Reads mails by UID, in ascending order: first their headers, then the bodies of reports. Nothing
 * is marked (PEEK). Mails that the mailbox does not have any more are left out.
 *
 * @param suspects Those of the mailbox. They are read one at a time, and skipped if they are given up
 */
export async function* readMails(
  client: ImapFlow,
  uids: readonly number[],
  suspects: Suspects,
  options: InboxReaderOptions,
): AsyncGenerator<ReadMail> {
  const ascending = uids.toSorted((a, b) => a - b);
  for (const chunk of chunksOf(ascending, suspects)) {
    const [first = 0] = chunk;
    if (suspects.isGivenUp(first)) {
      options.onUnreadable();
      yield { uid: first, mail: null, receivedAt: Date.now() };
      continue;
    }
    if (suspects.isSuspect(first)) await readAnother(client, ascending, first, suspects, options);
    const read = () => fetchHeaders(client, chunk, options);
    for (const { uid, headers, internalDate } of await suspects.during(chunk, read)) {
      const readReport = () => suspects.during([uid], () => fetchReport(client, uid, options));
      const mail = await readOne(headers, readReport, options);
      yield { uid, mail, receivedAt: toTime(internalDate) };
    }
  }
}

/** Splits UIDs into chunks. A suspect is apart. */
function* chunksOf(uids: readonly number[], suspects: Suspects): Generator<readonly number[]> {
  let chunk: number[] = [];
  for (const uid of uids) {
    const isApart = suspects.isSuspect(uid);
    if (chunk.length > 0 && (isApart || chunk.length === CHUNK)) {
      yield chunk;
      chunk = [];
    }
    if (isApart) yield [uid];
    else chunk.push(uid);
  }
  if (chunk.length > 0) yield chunk;
}

/** Rejects if the server does not serve another mail either: then the suspect is not at fault. */
async function readAnother(
  client: ImapFlow,
  uids: readonly number[],
  suspect: number,
  suspects: Suspects,
  options: InboxReaderOptions,
): Promise<void> {
  const other = uids.findLast((uid) => uid !== suspect && !suspects.isGivenUp(uid));
  if (other !== undefined) await fetchHeaders(client, [other], options);
}

/** @param date INTERNALDATE, which servers can leave out */
function toTime(date: FetchMessageObject['internalDate']): number {
  const time = new Date(date ?? Number.NaN).getTime();
  return Number.isNaN(time) ? Date.now() : time;
}

async function fetchHeaders(
  client: ImapFlow,
  uids: readonly number[],
  { commandMs }: InboxReaderOptions,
): Promise<FetchMessageObject[]> {
  const query = {
    internalDate: true,
    bodyParts: [{ key: 'HEADER', start: 0, maxLength: MAX_HEADER_BYTES }],
  };
  const fetched = await within(commandMs, client, fetchByUid(client, uids, query, 'headers'));
  return fetched.toSorted((a, b) => a.uid - b.uid);
}

/**
 * Fetches mails, at most one for each UID. Servers add changed flags of any mails, which must not
 * count as read: only a response with the content does. It is null if the server cannot read it.
 */
async function fetchByUid(
  client: ImapFlow,
  uids: readonly number[],
  query: FetchQueryObject,
  content: 'headers' | 'source',
): Promise<FetchMessageObject[]> {
  const wanted = new Set(uids);
  const fetched: FetchMessageObject[] = [];
  for await (const mail of client.fetch(uids.join(','), query, { uid: true }))
    if (mail[content] !== undefined && wanted.delete(mail.uid)) fetched.push(mail);
  return fetched;
}

/** Returns null if the mail is of no interest, or cannot be read. */
async function readOne(
  header: Buffer | null | undefined,
  readReport: () => Promise<Report | null>,
  options: InboxReaderOptions,
): Promise<InboundMail | null> {
  const mail = header ? await readCandidate(header, readReport, options) : 'unreadable';
  if (mail !== 'unreadable') return mail;
  options.onUnreadable();
  return null;
}

async function readCandidate(
  header: Buffer,
  readReport: () => Promise<Report | null>,
  { parser, replies }: InboxReaderOptions,
): Promise<InboundMail | null | 'unreadable'> {
  const candidate = await orUnreadable(parser.candidateOf(header), parser);
  if (candidate === null || candidate === 'unreadable') return candidate;
  if (candidate === 'reply') return replies ? orUnreadable(parser.parse(header, true), parser) : null;
  const report = await readReport();
  return report ? orUnreadable(parser.parse(report.bytes, report.isCut), parser) : 'unreadable';
}

/** Rejects if the parser fails at any mail. Otherwise the mail is at fault, and no other. */
async function orUnreadable<T>(result: Promise<T>, parser: InboundParser): Promise<T | 'unreadable'> {
  try {
    return await result;
  } catch {
    await parser.candidateOf(NO_HEADERS);
    return 'unreadable';
  }
}

/** Returns null if the server does not send the report. */
async function fetchReport(
  client: ImapFlow,
  uid: number,
  { commandMs }: InboxReaderOptions,
): Promise<Report | null> {
  const query = { size: true, source: { start: 0, maxLength: MAX_MAIL_BYTES } };
  const [fetched] = await within(commandMs, client, fetchByUid(client, [uid], query, 'source'));
  if (!fetched?.source) return null;
  return { bytes: fetched.source, isCut: (fetched.size ?? 0) > fetched.source.length };
}

/** Closes the connection and rejects if a command takes too long. */
export async function within<T>(ms: number, client: ImapFlow, command: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(
      new MailboxError(unavailable(`The IMAP server did not complete a command within ${ms / SECOND} s`)),
    );
    client.close();
  }, ms);
  try {
    return await Promise.race([command, late]);
  } finally {
    clearTimeout(timer);
  }
}
