/** FETCH, and UID FETCH (RFC 3501, section 6.4.5). */
import type { FolderRole } from '../mailbox/folder.ts';
import { headerOf, parseHeader } from '../mailbox/header.ts';
import { type Argument, BadCommand } from './arguments.ts';
import { toBodyStructure } from './body-structure.ts';
import { toEnvelope } from './envelope.ts';
import { findPart, type Part, parsePart } from './parts.ts';
import type { Selection, Session } from './session.ts';
import { type Numbered, numberEntries, parseSet } from './sets.ts';
import { formatDateTime, literal, quote } from './text.ts';

const MACROS: Readonly<Record<string, readonly string[]>> = {
  FAST: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE'],
  ALL: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE'],
  FULL: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE', 'BODY'],
};

type Item = (entry: Numbered, selection: Selection) => string;

export async function fetch(
  session: Session,
  [set, items, modifiers]: readonly Argument[],
  uid: boolean,
): Promise<string> {
  const { selection, output } = session;
  if (!selection || typeof set !== 'string') throw new BadCommand('FETCH needs a set of messages');
  if (modifiers) throw new BadCommand('FETCH: the simulator knows no modifiers');
  const numbered = numberEntries(selection);
  const names = namesOf(items);
  const last = numbered.at(-1);
  const isInSet = parseSet(set, (uid ? last?.uid : last?.number) ?? 0);
  if (names.length === 0) throw new BadCommand('FETCH needs items');
  const shown = inGmailOrder(uid ? ['UID', ...names] : names);
  const values = shown.map(toItem);
  const withFlags = shown.includes('FLAGS') ? values : [...values, toItem('FLAGS')];
  const marks = !selection.readOnly && namesMark(names);
  for (const entry of numbered) {
    if (!isInSet(uid ? entry.uid : entry.number)) continue;
    const isNewlySeen = marks && !entry.mail.flags.has('\\Seen');
    if (isNewlySeen) entry.mail.flags.add('\\Seen');
    const sent = (isNewlySeen ? withFlags : values).map((item) => item(entry, selection));
    output.line(`* ${entry.number} FETCH (${sent.join(' ')})`);
    await output.drained();
  }
  return 'OK Success';
}

/** Some clients expect these items in the order of Gmail, whatever they asked for. */
const FIRST_ITEMS = ['X-GM-THRID', 'X-GM-MSGID', 'X-GM-LABELS', 'UID'];

function inGmailOrder(names: readonly string[]): readonly string[] {
  const first = FIRST_ITEMS.filter((name) => names.includes(name));
  return [...first, ...names.filter((name) => !FIRST_ITEMS.includes(name))];
}

const BODY_WITHOUT_PEEK = /^(?:BODY\[|RFC822(?:\.TEXT)?$)/;

/** Whether a FETCH with these arguments sets the flag \Seen, after SELECT. */
export function marksAsSeen([, items]: readonly Argument[]): boolean {
  return namesMark(namesOf(items));
}

function namesMark(names: readonly string[]): boolean {
  return names.some((name) => BODY_WITHOUT_PEEK.test(name));
}

function namesOf(items: Argument | undefined): readonly string[] {
  const names = [items ?? []].flat().map((item) => String(item).toUpperCase());
  return names.flatMap((name) => MACROS[name] ?? [name]);
}

function toItem(name: string): Item {
  const body = /^BODY(?:\.PEEK)?\[([^\]]*)\](?:<(\d+)(?:\.(\d+))?>)?$/.exec(name);
  if (body) return toBodyItem(body[1] ?? '', body[2], body[3]);
  const item = ITEMS[name];
  if (!item) throw new BadCommand(`FETCH: the simulator does not know ${name}`);
  return (entry, selection) => `${name} ${item(entry, selection)}`;
}

const ITEMS: Readonly<Record<string, Item>> = {
  UID: ({ uid }) => String(uid),
  FLAGS: ({ mail }) => `(${[...mail.flags].join(' ')})`,
  INTERNALDATE: ({ mail }) => quote(formatDateTime(mail.receivedAt)),
  'RFC822.SIZE': ({ mail }) => String(mail.content.length),
  RFC822: ({ mail }) => literal(mail.content),
  'RFC822.HEADER': ({ mail }) => literal(headerOf(mail.content)),
  'RFC822.TEXT': ({ mail }) => literal(toText(mail.content)),
  BODY: ({ mail }) => toBodyStructure(parsePart(mail.content), false),
  BODYSTRUCTURE: ({ mail }) => toBodyStructure(parsePart(mail.content), true),
  ENVELOPE: ({ mail }) => toEnvelope(mail.content),
  'X-GM-MSGID': ({ mail }) => mail.id,
  'X-GM-THRID': ({ mail }) => mail.id,
  'X-GM-LABELS': ({ mail }, { folder }) => {
    const label = LABELS[mail.role];
    return label === undefined || mail.role === folder.role ? '()' : `(${quote(label)})`;
  },
};

/** Gmail omits the label of the selected folder. */
export const LABELS: Readonly<Partial<Record<FolderRole, string>>> = {
  inbox: '\\Inbox',
  sent: '\\Sent',
  drafts: '\\Draft',
};

/** A section of the content, or the octets of it from `offset`. */
function toBodyItem(section: string, offset: string | undefined, count: string | undefined) {
  const start = Number(offset ?? 0);
  const end = count === undefined ? undefined : start + Number(count);
  const label = `BODY[${section}]${offset === undefined ? '' : `<${offset}>`}`;
  const select = toSection(section);
  return ({ mail }: Numbered) => `${label} ${literal(select(mail.content).slice(start, end))}`;
}

/**
 * Returns what selects a section. `2.1.HEADER` is the header of the message in part 2.1, and
 * `2.1.MIME` that of the part. A section that the mail does not have is empty.
 */
function toSection(section: string): (content: string) => string {
  const [, path, inner] = /^([1-9]\d{0,5}(?:\.[1-9]\d{0,5})*)(?:\.(.+))?$/.exec(section) ?? [];
  if (path === undefined) return toWholeSection(section);
  const numbers = path.split('.').map(Number);
  const select = toPartSection(inner);
  return (content) => {
    const part = findPart(parsePart(content), numbers);
    return part ? select(part) : '';
  };
}

function toPartSection(inner: string | undefined): (part: Part) => string {
  if (inner === undefined) return ({ body }) => body;
  if (inner === 'MIME') return ({ header }) => header;
  const select = toWholeSection(inner);
  return ({ body, message }) => (message ? select(body) : '');
}

function toWholeSection(section: string): (content: string) => string {
  const [, not, list] = /^HEADER\.FIELDS(\.NOT)? \(([^)]+)\)$/.exec(section) ?? [];
  if (list !== undefined) {
    const names = new Set(list.split(/[\s"]+/).filter(Boolean));
    return (content) => {
      const fields = parseHeader(content).filter(({ name }) => names.has(name.toUpperCase()) === !not);
      return `${fields.map(({ raw }) => raw).join('')}\r\n`;
    };
  }
  switch (section) {
    case '':
      return (content) => content;
    case 'HEADER':
      return headerOf;
    case 'TEXT':
      return toText;
  }
  throw new BadCommand(`FETCH: the simulator does not know the section ${section}`);
}

function toText(content: string): string {
  return content.slice(headerOf(content).length);
}
