import type { VariableName } from './variable-name.ts';

/** A value to look names up in, and the ones around it. */
export interface Frame {
  readonly value: unknown;
  /** Where it is in the request: a JSON Pointer. */
  readonly pointer: string;
  readonly parent: Frame | null;
}

/** What a name stands for, and where that was found. Undefined if it is missing. */
export interface LookupResult {
  readonly value: unknown;
  readonly pointer: string;
}

/**
 * Looks a name up as Mustache does, from the innermost frame outwards. Unlike mustache's own lookup it sees own properties only, and none of
 * a text: what a caller did not give is missing, whatever it is called.
 */
export function lookUp(name: VariableName, frame: Frame): LookupResult {
  for (let at: Frame | null = frame; at !== null; at = at.parent) {
    const value = valueAt(at.value, name.segments);
    if (value !== undefined) return { value, pointer: at.pointer + name.pointer };
  }
  return { value: undefined, pointer: nearestObject(frame).pointer + name.pointer };
}

function valueAt(value: unknown, segments: readonly string[]): unknown {
  let at = value;
  for (const segment of segments) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, segment)) return undefined;
    at = at[segment as keyof typeof at];
  }
  return at;
}

/** Where what is missing could be added: an item that is a mere text has no room for it. */
function nearestObject(frame: Frame): Frame {
  let at = frame;
  while (at.parent !== null && (typeof at.value !== 'object' || at.value === null || Array.isArray(at.value)))
    at = at.parent;
  return at;
}
