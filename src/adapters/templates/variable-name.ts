/** What stands in a tag, where a variable is named. */
export interface VariableName {
  /** As it is written, without a `?` at its end: `user.name`, or `.` for the item itself. */
  readonly text: string;
  /** The way to it, from the object it is looked up in. Empty for the item itself. */
  readonly segments: readonly string[];
  /** The same as a JSON Pointer (RFC 6901). */
  readonly pointer: string;
  /** Marked by the `?`: it may be missing. */
  readonly optional: boolean;
}

const MAX_LENGTH = 200;

/** Reads the name in a tag; null if it is none. */
export function parseVariableName(tag: string): VariableName | null {
  const optional = tag.endsWith('?');
  const text = optional ? tag.slice(0, -1) : tag;
  if (text === '.') return { text, segments: [], pointer: '', optional };
  const segments = text.split('.');
  // Braces and line breaks get into a name when the tag before is not closed.
  if (text.length > MAX_LENGTH || segments.includes('') || /[{}\p{Cc}]/u.test(text)) return null;
  return {
    text,
    segments,
    pointer: segments.map((segment) => `/${escapeSegment(segment)}`).join(''),
    optional,
  };
}

function escapeSegment(segment: string): string {
  return segment.replaceAll('~', '~0').replaceAll('/', '~1');
}
