/** FETCH, and UID FETCH (RFC 3501, section 6.4.5), without the structure of the parts. */
import { headerOf, parseHeader } from '../mailbox/header.ts';
import { type Argument, BadCommand } from './arguments.ts';
import { toEnvelope } from './envelope.ts';
import type { Session } from './session.ts';
import { type Numbered, numberEntries, parseSet } from './sets.ts';
import { formatDateTime, literal, quote } from './text.ts';

const MACROS: Readonly<Record<string, readonly string[]>> = {
  FAST: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE'],
  ALL: ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE'],
};

export function fetch(session: Session, [set, items]: readonly Argument[], uid: boolean): string {
  const { selection, output } = session;
  if (!selection || typeof set !== 'string') throw new BadCommand('FETCH needs a set of messages');
  const numbered = numberEntries(selection);
  const names = namesOf(items);
  const last = numbered.at(-1);
  const isInSet = parseSet(set, (uid ? last?.uid : last?.number) ?? 0);
  const shown = uid && !names.includes('UID') ? ['UID', ...names] : names;
  const values = shown.map(toItem);
  for (const entry of numbered) {
    if (!isInSet(uid ? entry.uid : entry.number)) continue;
    if (!selection.readOnly && names.some((name) => BODY_WITHOUT_PEEK.test(name)))
      entry.mail.flags.add('\\Seen');
    output.line(`* ${entry.number} FETCH (${values.map((item) => item(entry)).join(' ')})`);
  }
  return 'OK Success';
}

const BODY_WITHOUT_PEEK = /^(?:BODY\[|RFC822(?:\.TEXT)?$)/;

/** Whether a FETCH with these arguments sets the flag \Seen, after SELECT. */
export function marksAsSeen([, items]: readonly Argument[]): boolean {
  return namesOf(items).some((name) => BODY_WITHOUT_PEEK.test(name));
}

function namesOf(items: Argument | undefined): readonly string[] {
  const names = [items ?? []].flat().map((item) => String(item).toUpperCase());
  return names.flatMap((name) => MACROS[name] ?? [name]);
}

function toItem(name: string): (entry: Numbered) => string {
  const body = /^BODY(?:\.PEEK)?\[([^\]]*)\](?:<(\d+)(?:\.(\d+))?>)?$/.exec(name);
  if (body) return toBodyItem(body[1] ?? '', body[2], body[3]);
  const item = ITEMS[name];
  if (!item) throw new BadCommand(`FETCH: the simulator does not know ${name}`);
  return (entry) => `${name} ${item(entry)}`;
}

const ITEMS: Readonly<Record<string, (entry: Numbered) => string>> = {
  UID: ({ uid }) => String(uid),
  FLAGS: ({ mail }) => `(${[...mail.flags].join(' ')})`,
  INTERNALDATE: ({ mail }) => quote(formatDateTime(mail.receivedAt)),
  'RFC822.SIZE': ({ mail }) => String(mail.content.length),
  RFC822: ({ mail }) => literal(mail.content),
  'RFC822.HEADER': ({ mail }) => literal(headerOf(mail.content)),
  ENVELOPE: ({ mail }) => toEnvelope(mail.content),
  'X-GM-MSGID': ({ mail }) => mail.id,
  'X-GM-THRID': ({ mail }) => mail.id,
  'X-GM-LABELS': () => '()',
};

/** A section of the content, or the octets of it from `offset`. */
function toBodyItem(section: string, offset: string | undefined, count: string | undefined) {
  const start = Number(offset ?? 0);
  const end = count === undefined ? undefined : start + Number(count);
  const label = `BODY[${section}]${offset === undefined ? '' : `<${offset}>`}`;
  const select = toSection(section);
  return ({ mail }: Numbered) => `${label} ${literal(select(mail.content).slice(start, end))}`;
}

function toSection(section: string): (content: string) => string {
  const [, not, list] = /^HEADER\.FIELDS(\.NOT)? \(([^)]*)\)$/.exec(section) ?? [];
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
      return (content) => content.slice(headerOf(content).length);
  }
  throw new BadCommand(`FETCH: the simulator does not know the section ${section}`);
}
