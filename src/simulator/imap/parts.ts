/** The MIME parts of a mail (RFC 2045, 2046), as binary strings. */
import { findField, type HeaderField, headerOf, parseHeader } from '../mailbox/header.ts';

/** Maximum depth of parts. Deeper ones are text of their parent. */
const MAX_DEPTH = 20;

export interface Part {
  /** The header, with the empty line that ends it. */
  readonly header: string;
  readonly body: string;
  readonly fields: readonly HeaderField[];
  readonly contentType: FieldValue;
  /** The parts of a multipart; empty otherwise. */
  readonly parts: readonly Part[];
  /** The message in a message/rfc822 part; null otherwise. */
  readonly message: Part | null;
}

/** A value with its parameters, such as `text/plain; charset=utf-8`. */
export interface FieldValue {
  readonly value: string;
  readonly parameters: readonly (readonly [name: string, value: string])[];
}

export function parsePart(content: string, depth = 0): Part {
  const header = headerOf(content);
  const body = content.slice(header.length);
  const fields = parseHeader(content);
  const contentType = parseFieldValue(findField(fields, 'Content-Type') ?? 'text/plain; charset=us-ascii');
  const type = contentType.value.toLowerCase();
  const canNest = depth < MAX_DEPTH;
  const boundary = contentType.parameters.find(([name]) => name.toLowerCase() === 'boundary')?.[1];
  const isMultipart = canNest && type.startsWith('multipart/') && boundary !== undefined;
  const parts = isMultipart ? splitBody(body, boundary).map((part) => parsePart(part, depth + 1)) : [];
  const message = canNest && type === 'message/rfc822' ? parsePart(body, depth + 1) : null;
  return { header, body, fields, contentType, parts, message };
}

export function parseFieldValue(text: string): FieldValue {
  const parameters = text.matchAll(/;\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))/g);
  return {
    value: text.split(';', 1)[0]?.trim() ?? '',
    parameters: [...parameters].map(([, name = '', quoted, token = '']) => [
      name,
      quoted?.replace(/\\(.)/g, '$1') ?? token,
    ]),
  };
}

/** Returns what is between the delimiters. The CRLF before each belongs to it. */
function splitBody(body: string, boundary: string): string[] {
  const delimiter = new RegExp(`(?:^|\\r\\n)--${RegExp.escape(boundary)}(--)?[ \\t]*(?=\\r\\n|$)`, 'g');
  const parts: string[] = [];
  let start: number | null = null;
  for (const match of body.matchAll(delimiter)) {
    if (start !== null) parts.push(body.slice(start, Math.max(start, match.index)));
    start = match.index + match[0].length + 2;
    if (match[1] !== undefined) return parts;
  }
  // Without a closing delimiter, the last part goes on to the end.
  if (start !== null) parts.push(body.slice(start));
  return parts;
}

/**
 * Finds a part by its numbers, such as `2.1` (RFC 3501, section 6.4.5). A message that is no
 * multipart has one part: its body.
 *
 * @returns undefined if there is none
 */
export function findPart(root: Part, numbers: readonly number[]): Part | undefined {
  let part: Part | undefined = root;
  for (const [level, number] of numbers.entries()) {
    const parent: Part = level === 0 ? part : (part.message ?? part);
    const isLeaf: boolean = parent.parts.length === 0;
    if (isLeaf && number === 1 && (level === 0 || part.message)) part = { ...parent, message: null };
    else part = parent.parts[number - 1];
    if (!part) return undefined;
  }
  return part;
}
