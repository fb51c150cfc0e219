/** The variable name in a tag. */
export interface VariableName {
  /** The name as written, without a final `?`: `user.name`, or `.` for the current item. */
  readonly text: string;
  /** Property names from the frame to the variable. Empty for the current item. */
  readonly segments: readonly string[];
  /** The same as a JSON Pointer (RFC 6901). */
  readonly pointer: string;
  /** Whether the tag has the `?`, so the variable may be missing. */
  readonly optional: boolean;
}

const MAX_LENGTH = 200;

/** Parses the name in a tag. Returns null if it is invalid. */
export function parseVariableName(tag: string): VariableName | null {
  const optional = tag.endsWith('?');
  const text = optional ? tag.slice(0, -1) : tag;
  if (text === '.') return { text, segments: [], pointer: '', optional };
  const segments = text.split('.');
  // A name contains braces and line breaks if the tag before it is not closed.

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
