import type { VariableName } from './variable-name.ts';

/** A value in which names are looked up, and the frames around it. */
export interface Frame {
  readonly value: unknown;
  /** JSON Pointer of the value in the request. */
  readonly pointer: string;
  readonly parent: Frame | null;
}

/** The value of a name and its JSON Pointer. The value is undefined if the variable is missing. */
export interface LookupResult {
  readonly value: unknown;
  readonly pointer: string;
}

/**
 * Looks a name up as Mustache does, from the innermost frame outwards. Unlike the package mustache,
 * it finds only own properties of objects. So a variable that was not provided is missing even if
 * JavaScript has a property of that name.
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

/** Returns the frame to which a missing variable could be added. It must be an object. */
function nearestObject(frame: Frame): Frame {
  let at = frame;
  while (at.parent !== null && (typeof at.value !== 'object' || at.value === null || Array.isArray(at.value)))
    at = at.parent;
  return at;
}
