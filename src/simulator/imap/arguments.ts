/** Parses the arguments of a command (RFC 3501, section 9): atoms, strings, literals and lists. */

export type Argument = string | readonly Argument[];

/** The client sent what the simulator cannot parse, or does not know: a BAD response. */
export class BadCommand extends Error {}

/** Maximum depth of parentheses, and of NOT and OR. */
export const MAX_DEPTH = 1000;

/**
 * An atom is one token with its brackets: `BODY.PEEK[HEADER.FIELDS (FROM)]<0.100>`. A quoted string
 * loses its quotes, and a literal its length.
 */
export function parseArguments(text: string): readonly Argument[] {
  const cursor = { text, position: 0, depth: 0 };
  const list = parseList(cursor);
  if (cursor.position < text.length) throw new BadCommand('Unbalanced parenthesis');
  return list;
}

interface Cursor {
  readonly text: string;
  position: number;
  depth: number;
}

const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const LITERAL = /~?\{(\d+)[+-]?\}\r\n/y;
const ATOM = /(?:[^\s()"{[]|\[[^\]]*(?:\]|$))+/y;

function parseList(cursor: Cursor): Argument[] {
  const list: Argument[] = [];
  for (;;) {
    take(cursor, / */y);
    const next = cursor.text[cursor.position];
    if (next === undefined || next === ')') return list;
    list.push(next === '(' ? parseNested(cursor) : parseString(cursor));
  }
}

function parseNested(cursor: Cursor): Argument[] {
  cursor.position += 1;
  cursor.depth += 1;
  if (cursor.depth > MAX_DEPTH) throw new BadCommand('Too many parentheses');
  const list = parseList(cursor);
  if (cursor.text[cursor.position] !== ')') throw new BadCommand('Missing parenthesis');
  cursor.position += 1;
  cursor.depth -= 1;
  return list;
}

function parseString(cursor: Cursor): string {
  const quoted = take(cursor, QUOTED)?.[1];
  if (quoted !== undefined) return quoted.replace(/\\(.)/g, '$1');
  const length = take(cursor, LITERAL)?.[1];
  if (length !== undefined) {
    const octets = cursor.text.substr(cursor.position, Number(length));
    cursor.position += octets.length;
    return octets;
  }
  const atom = take(cursor, ATOM)?.[0];
  if (atom === undefined) throw new BadCommand('Could not parse command');
  return atom;
}

function take(cursor: Cursor, pattern: RegExp): RegExpExecArray | null {
  pattern.lastIndex = cursor.position;
  const match = pattern.exec(cursor.text);
  if (match) cursor.position = pattern.lastIndex;
  return match;
}
