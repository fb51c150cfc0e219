/** SEARCH, and UID SEARCH (RFC 3501, section 6.4.4). */
import { decodeWords } from 'postal-mime';
import type { Mail } from '../mailbox/folder.ts';
import { findField, headerOf, parseHeader } from '../mailbox/header.ts';
import type { Mailboxes } from '../mailbox/mailboxes.ts';
import { type Argument, BadCommand, MAX_DEPTH } from './arguments.ts';
import { LABELS } from './fetch.ts';
import { parseGmailQuery } from './gmail-query.ts';
import type { Session } from './session.ts';
import { isSet, type Numbered, numberEntries, parseSet } from './sets.ts';
import { parseDate } from './text.ts';

export type Criterion = (entry: Numbered) => boolean;

const DAY_MS = 24 * 60 * 60 * 1000;

export function search(session: Session, args: readonly Argument[], uid: boolean): string {
  const { selection } = session;
  if (!selection) throw new BadCommand('No folder selected');
  const numbered = numberEntries(selection);
  const hasCharset = typeof args[0] === 'string' && args[0].toUpperCase() === 'CHARSET';
  if (hasCharset && !/^(?:UTF-8|US-ASCII)$/i.test(String(args[1])))
    return 'NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset';
  const keys = hasCharset ? args.slice(2) : args;
  if (keys.length === 0) throw new BadCommand('SEARCH needs a key');
  const isMatch = parseAll({
    keys,
    position: 0,
    depth: 0,
    numbered,
    mailboxes: session.state.imap.mailboxes,
  });
  const found = numbered.filter(isMatch).map((entry) => (uid ? entry.uid : entry.number));
  session.output.line(`* SEARCH${found.map((each) => ` ${each}`).join('')}`);
  return 'OK SEARCH completed (Success)';
}

interface Cursor {
  readonly keys: readonly Argument[];
  position: number;
  depth: number;
  readonly numbered: readonly Numbered[];
  readonly mailboxes: Mailboxes;
}

/** Parses the remaining keys. All of them must match. */
function parseAll(cursor: Cursor): Criterion {
  const criteria: Criterion[] = [];
  while (cursor.position < cursor.keys.length) criteria.push(parseOne(cursor));
  return (entry) => criteria.every((criterion) => criterion(entry));
}

function parseOne(cursor: Cursor): Criterion {
  cursor.depth += 1;
  if (cursor.depth > MAX_DEPTH) throw new BadCommand('SEARCH: too many keys within keys');
  const criterion = parseKey(cursor);
  cursor.depth -= 1;
  return criterion;
}

function parseKey(cursor: Cursor): Criterion {
  const key = cursor.keys[cursor.position++];
  if (key === undefined) throw new BadCommand('SEARCH: a key is missing');
  if (typeof key !== 'string') {
    if (key.length === 0) throw new BadCommand('SEARCH: a key is missing');
    return parseAll({ ...cursor, keys: key, position: 0 });
  }
  if (isSet(key)) {
    const isInSet = parseSet(key, cursor.numbered.length);
    return ({ number }) => isInSet(number);
  }
  const parse = KEYS[key.toUpperCase()];
  if (!parse) throw new BadCommand(`SEARCH: unknown key ${key}`);
  return parse(cursor);
}

const KEYS: Readonly<Record<string, (cursor: Cursor) => Criterion>> = {
  ALL: () => () => true,
  UID: (cursor) => {
    const isInSet = parseSet(nextValue(cursor), cursor.numbered.at(-1)?.uid ?? 0);
    return ({ uid }) => isInSet(uid);
  },
  SINCE: (cursor) => dated(cursor, receivedAt, (days) => days >= 0),
  ON: (cursor) => dated(cursor, receivedAt, (days) => days === 0),
  BEFORE: (cursor) => dated(cursor, receivedAt, (days) => days < 0),
  SENTSINCE: (cursor) => dated(cursor, sentAt, (days) => days >= 0),
  SENTON: (cursor) => dated(cursor, sentAt, (days) => days === 0),
  SENTBEFORE: (cursor) => dated(cursor, sentAt, (days) => days < 0),
  HEADER: (cursor) => inHeader(cursor, nextValue(cursor)),
  FROM: (cursor) => inHeader(cursor, 'From'),
  TO: (cursor) => inHeader(cursor, 'To'),
  CC: (cursor) => inHeader(cursor, 'Cc'),
  BCC: (cursor) => inHeader(cursor, 'Bcc'),
  SUBJECT: (cursor) => inHeader(cursor, 'Subject'),
  TEXT: (cursor) => contains(cursor, fromUtf8),
  BODY: (cursor) => contains(cursor, (content) => fromUtf8(content.slice(headerOf(content).length))),
  'X-GM-RAW': (cursor) => {
    const isMatch = parseGmailQuery(nextValue(cursor));
    return (entry) => cursor.mailboxes.isIndexed(entry.mail) && isMatch(entry);
  },
  'X-GM-MSGID': (cursor) => hasId(nextNumber(cursor)),
  'X-GM-THRID': (cursor) => hasId(nextNumber(cursor)),
  'X-GM-LABELS': (cursor) => {
    const label = nextValue(cursor).toLowerCase();
    return ({ mail }) => LABELS[mail.role]?.toLowerCase() === label;
  },
  LARGER: (cursor) => {
    const size = Number(nextNumber(cursor));
    return ({ mail }) => mail.content.length > size;
  },
  SMALLER: (cursor) => {
    const size = Number(nextNumber(cursor));
    return ({ mail }) => mail.content.length < size;
  },
  ...flagKeys('ANSWERED', 'DELETED', 'DRAFT', 'FLAGGED', 'SEEN'),
  KEYWORD: (cursor) => withFlag(nextValue(cursor)),
  UNKEYWORD: (cursor) => not(withFlag(nextValue(cursor))),
  NEW: () => () => false,
  RECENT: () => () => false,
  OLD: () => () => true,
  NOT: (cursor) => not(parseOne(cursor)),
  OR: (cursor) => {
    const [first, second] = [parseOne(cursor), parseOne(cursor)];
    return (entry) => first(entry) || second(entry);
  },
};

function nextValue(cursor: Cursor): string {
  const argument = cursor.keys[cursor.position++];
  if (typeof argument !== 'string') throw new BadCommand('SEARCH: a value is missing');
  return argument;
}

function nextNumber(cursor: Cursor): string {
  const text = nextValue(cursor);
  if (!/^\d{1,20}$/.test(text)) throw new BadCommand(`SEARCH: not a number: ${text}`);
  return text;
}

function not(criterion: Criterion): Criterion {
  return (entry) => !criterion(entry);
}

function withFlag(flag: string): Criterion {
  return ({ mail }) => mail.flags.has(flag);
}

/** The keys of a flag, such as SEEN and UNSEEN. */
function flagKeys(...names: readonly string[]): Record<string, () => Criterion> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const criterion = withFlag(`\\${name.charAt(0)}${name.slice(1).toLowerCase()}`);
      return [
        [name, () => criterion],
        [`UN${name}`, () => not(criterion)],
      ];
    }),
  );
}

/** X-GM-MSGID and X-GM-THRID: each mail is a thread of its own. */
function hasId(id: string): Criterion {
  return ({ mail }) => mail.id === id;
}

/**
 * @param dateOf returns a time in epoch ms, or NaN
 * @param isMatch compares its day with the day of the search: difference in days
 */
function dated(
  cursor: Cursor,
  dateOf: (mail: Mail) => number,
  isMatch: (days: number) => boolean,
): Criterion {
  const text = nextValue(cursor);
  const day = parseDate(text);
  if (day === null) throw new BadCommand(`SEARCH: not a date: ${text}`);
  return ({ mail }) => isMatch(Math.floor((dateOf(mail) - day) / DAY_MS));
}

function receivedAt(mail: Mail): number {
  return mail.receivedAt;
}

/** The day of the Date header, without its time and zone (RFC 3501, section 6.4.4). */
function sentAt({ content }: Mail): number {
  const date = findField(parseHeader(content), 'Date') ?? '';
  const [, day, month, year] = /(\d{1,2}) ([a-z]{3}) (\d{4})/i.exec(date) ?? [];
  return parseDate(`${day}-${month}-${year}`) ?? Number.NaN;
}

function inHeader(cursor: Cursor, name: string): Criterion {
  return contains(cursor, (content) => {
    const value = findField(parseHeader(content), name);
    return value === null ? null : decodeWords(fromUtf8(value));
  });
}

/**
 * Content is found only once it is indexed.
 *
 * @param select returns text, of the content as a binary string; null if it has none
 */
function contains(cursor: Cursor, select: (content: string) => string | null): Criterion {
  const value = fromUtf8(nextValue(cursor)).toLowerCase();
  return ({ mail }) =>
    cursor.mailboxes.isIndexed(mail) && (select(mail.content)?.toLowerCase().includes(value) ?? false);
}

function fromUtf8(octets: string): string {
  return Buffer.from(octets, 'latin1').toString();
}
