/** SEARCH, and UID SEARCH (RFC 3501, section 6.4.4). */
import { findField, headerOf, parseHeader } from '../mailbox/header.ts';
import type { Mailboxes } from '../mailbox/mailboxes.ts';
import { type Argument, BadCommand } from './arguments.ts';
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
  const keys = typeof args[0] === 'string' && args[0].toUpperCase() === 'CHARSET' ? args.slice(2) : args;
  if (keys.length === 0) throw new BadCommand('SEARCH needs a key');
  const isMatch = parseAll({ keys, position: 0, numbered, mailboxes: session.state.imap.mailboxes });
  const found = numbered.filter(isMatch).map((entry) => (uid ? entry.uid : entry.number));
  session.output.line(`* SEARCH${found.map((each) => ` ${each}`).join('')}`);
  return 'OK SEARCH completed (Success)';
}

interface Cursor {
  readonly keys: readonly Argument[];
  position: number;
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
  const key = cursor.keys[cursor.position++];
  if (key === undefined) throw new BadCommand('SEARCH: a key is missing');
  if (typeof key !== 'string') return parseAll({ ...cursor, keys: key, position: 0 });
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
  SINCE: (cursor) => received(cursor, (days) => days >= 0),
  ON: (cursor) => received(cursor, (days) => days === 0),
  BEFORE: (cursor) => received(cursor, (days) => days < 0),
  HEADER: (cursor) => inHeader(cursor, nextValue(cursor)),
  FROM: (cursor) => inHeader(cursor, 'From'),
  TO: (cursor) => inHeader(cursor, 'To'),
  SUBJECT: (cursor) => inHeader(cursor, 'Subject'),
  TEXT: (cursor) => contains(cursor, (content) => content),
  BODY: (cursor) => contains(cursor, (content) => content.slice(headerOf(content).length)),
  'X-GM-RAW': (cursor) => {
    const isMatch = parseGmailQuery(nextValue(cursor));
    return (entry) => cursor.mailboxes.isIndexed(entry.mail) && isMatch(entry);
  },
  LARGER: (cursor) => {
    const size = Number(nextValue(cursor));
    return ({ mail }) => mail.content.length > size;
  },
  SMALLER: (cursor) => {
    const size = Number(nextValue(cursor));
    return ({ mail }) => mail.content.length < size;
  },
  SEEN: () => (entry) => entry.mail.flags.has('\\Seen'),
  UNSEEN: () => (entry) => !entry.mail.flags.has('\\Seen'),
  NOT: (cursor) => {
    const criterion = parseOne(cursor);
    return (entry) => !criterion(entry);
  },
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

/** @param isMatch compares the day of INTERNALDATE with the day of the search: difference in days */
function received(cursor: Cursor, isMatch: (days: number) => boolean): Criterion {
  const text = nextValue(cursor);
  const day = parseDate(text);
  if (day === null) throw new BadCommand(`SEARCH: not a date: ${text}`);
  return ({ mail }) => isMatch(Math.floor((mail.receivedAt - day) / DAY_MS));
}

function inHeader(cursor: Cursor, name: string): Criterion {
  return contains(cursor, (content) => findField(parseHeader(content), name));
}

/** Content is found only once it is indexed. */
function contains(cursor: Cursor, select: (content: string) => string | null): Criterion {
  const value = nextValue(cursor).toLowerCase();
  return ({ mail }) =>
    cursor.mailboxes.isIndexed(mail) && (select(mail.content)?.toLowerCase().includes(value) ?? false);
}
