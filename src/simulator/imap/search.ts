/** SEARCH, and UID SEARCH (RFC 3501, section 6.4.4). */
import { findField, headerOf, parseHeader } from '../mailbox/header.ts';
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
  const parser = createParser(session, numbered, keys);
  const isMatch = parser.all();
  const found = numbered.filter(isMatch).map((entry) => (uid ? entry.uid : entry.number));
  session.output.line(`* SEARCH${found.map((each) => ` ${each}`).join('')}`);
  return 'OK SEARCH completed (Success)';
}

function createParser(session: Session, numbered: readonly Numbered[], keys: readonly Argument[]) {
  const { mailboxes } = session.state.imap;
  let position = 0;

  function next(): string {
    const argument = keys[position++];
    if (typeof argument !== 'string') throw new BadCommand('SEARCH: a value is missing');
    return argument;
  }

  function all(): Criterion {
    const criteria: Criterion[] = [];
    while (position < keys.length) criteria.push(one());
    return (entry) => criteria.every((criterion) => criterion(entry));
  }

  function one(): Criterion {
    const key = keys[position++];
    if (key === undefined) throw new BadCommand('SEARCH: a key is missing');
    if (typeof key !== 'string') return createParser(session, numbered, key).all();
    if (isSet(key)) {
      const isInSet = parseSet(key, numbered.length);
      return ({ number }) => isInSet(number);
    }
    const criterion = KEYS[key.toUpperCase()];
    if (!criterion) throw new BadCommand(`SEARCH: unknown key ${key}`);
    return criterion();
  }

  /** Content is found only once it is indexed. */
  const indexed =
    (criterion: (content: string) => boolean): Criterion =>
    ({ mail }) =>
      mailboxes.isIndexed(mail) && criterion(mail.content);

  const inHeader = (name: string) => {
    const value = next().toLowerCase();
    return indexed(
      (content) => findField(parseHeader(content), name)?.toLowerCase().includes(value) ?? false,
    );
  };

  const flagged =
    (flag: string, expected: boolean) =>
    (): Criterion =>
    ({ mail }) =>
      mail.flags.has(flag) === expected;

  /** @param isMatch compares the day of a mail with that of the search, in days */
  const received = (isMatch: (difference: number) => boolean) => (): Criterion => {
    const text = next();
    const day = parseDate(text);
    if (day === null) throw new BadCommand(`SEARCH: not a date: ${text}`);
    return ({ mail }) => isMatch(Math.floor((mail.receivedAt - day) / DAY_MS));
  };

  const KEYS: Readonly<Record<string, () => Criterion>> = {
    ALL: () => () => true,
    UID: () => {
      const isInSet = parseSet(next(), numbered.at(-1)?.uid ?? 0);
      return (entry) => isInSet(entry.uid);
    },
    SINCE: received((difference) => difference >= 0),
    ON: received((difference) => difference === 0),
    BEFORE: received((difference) => difference < 0),
    HEADER: () => inHeader(next()),
    FROM: () => inHeader('From'),
    TO: () => inHeader('To'),
    SUBJECT: () => inHeader('Subject'),
    TEXT: () => {
      const value = next().toLowerCase();
      return indexed((content) => content.toLowerCase().includes(value));
    },
    BODY: () => {
      const value = next().toLowerCase();
      return indexed((content) => content.slice(headerOf(content).length).toLowerCase().includes(value));
    },
    'X-GM-RAW': () => {
      const isMatch = parseGmailQuery(next());
      return (entry) => mailboxes.isIndexed(entry.mail) && isMatch(entry);
    },
    LARGER: () => {
      const size = Number(next());
      return ({ mail }) => mail.content.length > size;
    },
    SMALLER: () => {
      const size = Number(next());
      return ({ mail }) => mail.content.length < size;
    },
    SEEN: flagged('\\Seen', true),
    UNSEEN: flagged('\\Seen', false),
    DELETED: flagged('\\Deleted', true),
    UNDELETED: flagged('\\Deleted', false),
    NOT: () => {
      const criterion = one();
      return (entry) => !criterion(entry);
    },
    OR: () => {
      const [first, second] = [one(), one()];
      return (entry) => first(entry) || second(entry);
    },
  };

  return { all };
}
