import type { FetchMessageObject, FetchQueryObject, ImapFlow } from 'imapflow';
import type { InboundMail } from '../../core/inbound/inbound-mail.ts';
import type { InboundParser } from './inbound/inbound-parser.ts';
import { MAX_MAIL_BYTES } from './inbound/read-mail.ts';

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

/** Mails per FETCH. */
const CHUNK = 50;
/** Longer headers are cut. Gmail's have about 8 KB. */
const MAX_HEADER_BYTES = 32 * 1024;

/**
 * Reads mails by UID, in ascending order: first their headers, then the bodies of reports. Nothing
 * is marked (PEEK).
 */
export async function* readMails(
  client: ImapFlow,
  uids: readonly number[],
  options: InboxReaderOptions,
): AsyncGenerator<ReadMail> {
  const ascending = uids.toSorted((a, b) => a - b);
  for (let i = 0; i < ascending.length; i += CHUNK) {
    const chunk = ascending.slice(i, i + CHUNK);
    for (const { uid, headers, internalDate } of await fetchHeaders(client, chunk, options)) {
      const mail = headers ? await readOne(client, uid, headers, options) : null;
      yield { uid, mail, receivedAt: new Date(internalDate ?? Date.now()).getTime() };
    }
  }
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
 * count as read: only a response with the content does.
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

async function readOne(
  client: ImapFlow,
  uid: number,
  header: Buffer,
  options: InboxReaderOptions,
): Promise<InboundMail | null> {
  const { parser, replies, onUnreadable } = options;
  const candidate = await parser.candidateOf(header);
  if (candidate === null || (candidate === 'reply' && !replies)) return null;
  const mail = await (candidate === 'reply' ? parser.parse(header, true) : readReport(client, uid, options));
  if (mail === null) onUnreadable();
  return mail;
}

async function readReport(
  client: ImapFlow,
  uid: number,
  { parser, commandMs }: InboxReaderOptions,
): Promise<InboundMail | null> {
  const query = { size: true, source: { start: 0, maxLength: MAX_MAIL_BYTES } };
  const [fetched] = await within(commandMs, client, fetchByUid(client, [uid], query, 'source'));
  if (fetched?.source === undefined) return null;
  return parser.parse(fetched.source, (fetched.size ?? 0) > fetched.source.length);
}

/** Closes the connection if a command takes too long. Then the command rejects. */
export async function within<T>(ms: number, client: ImapFlow, command: Promise<T>): Promise<T> {
  const timer = setTimeout(() => client.close(), ms);
  try {
    return await command;
  } finally {
    clearTimeout(timer);
  }
}
