import { distance } from 'fastest-levenshtein';
import { z } from 'zod';
import { AppError, type FieldError, summarize } from '../../core/errors.ts';
import { isRecord } from '../request/body/strict-json.ts';

/** More would help nobody, and an answer must stay small whatever was sent. */
const MAX_ERRORS = 100;
const MAX_SEGMENT_LENGTH = 100;

/** An object without other fields than these. A field it does not know is refused, and the nearest it knows is named. */
export function strictObject<Shape extends z.core.$ZodShape>(shape: Shape) {
  // The names travel in the message, which is all that zod hands on: toFieldErrors makes a sentence of them.
  const known = Object.keys(shape).join(' ');
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? known : undefined),
  });
}

/** A body that may be left out: then it is an object without fields. */
export function optionalBody<Schema extends z.ZodType>(schema: Schema) {
  return z.preprocess((body) => body ?? {}, schema);
}

/** Whether a request may come without a body, by the schema of its body. */
export function isOptionalBody(schema: unknown): boolean {
  return schema instanceof z.ZodType && schema.safeParse(undefined).success;
}

/** What a pointer begins with where it does not point into the body. */
const PREFIXES: Readonly<Record<string, string>> = { querystring: 'query:', params: 'path:' };

/**
 * Validates a part of a request.
 *
 * @param part which it is, as Fastify names them
 * @throws {AppError} `validation_failed` or, if nothing else is wrong, `attachment_blocked`, with all there is to mend
 */
export function validate<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  part = 'body',
): z.output<Schema> {
  const result = schema.safeParse(value, { error: describe, reportInput: true });
  if (!result.success) {
    const found = result.error.issues.flatMap(toFieldErrors);
    const explained = part === 'querystring' ? found.map((error) => explainPlus(error, value)) : found;
    throw invalidFields(explained.map((error) => ({ ...error, pointer: locate(error.pointer, part) })));
  }
  return result.data;
}

/** Adds to an error of a query parameter with a space what a client may have done: URLs are often put together without encoding a "+". */
function explainPlus(error: FieldError, query: unknown): FieldError {
  const value = isRecord(query) ? query[error.pointer.slice(1)] : undefined;
  if (error.code === 'unknown_field' || !String(value).includes(' ')) return error;
  return { ...error, detail: `${error.detail} A + in a query means a space: write %2B for a plus sign.` };
}

export function invalidFields(found: readonly FieldError[]): AppError {
  const errors = found.slice(0, MAX_ERRORS);
  const blocked = errors.every(({ code }) => code === 'attachment_blocked');
  return new AppError(blocked ? 'attachment_blocked' : 'validation_failed', {
    detail: summarize(found),
    errors,
  });
}

/** RFC 6901. */
function toPointer(path: readonly PropertyKey[]): string {
  return path
    .map(
      (segment) =>
        `/${String(segment).slice(0, MAX_SEGMENT_LENGTH).replaceAll('~', '~0').replaceAll('/', '~1')}`,
    )
    .join('');
}

/** A pointer into a part, as one into the request: `query:limit`, `path:email`. */
function locate(pointer: string, part: string): string {
  const prefix = PREFIXES[part];
  return prefix === undefined ? pointer : prefix + pointer.slice(1);
}

/** What zod found, in our words. An issue may be several errors: each unknown field is one. */
function toFieldErrors(issue: z.core.$ZodIssue): FieldError[] {
  switch (issue.code) {
    case 'unrecognized_keys': {
      const known = issue.message.split(' ');
      return issue.keys.map((key) => ({
        pointer: toPointer([...issue.path, key]),
        code: 'unknown_field',
        detail: describeUnknown(key, known),
      }));
    }
    case 'invalid_union': {
      // The branch that is of the right type says best what is wrong.
      const [branch, another] = issue.errors.filter((issues) => !issues.some(isOtherType));
      if (branch === undefined || another !== undefined) break;
      return branch.flatMap((inner) => toFieldErrors({ ...inner, path: [...issue.path, ...inner.path] }));
    }
    case 'invalid_key':
      return issue.issues.flatMap((inner) => toFieldErrors({ ...inner, path: issue.path }));
    default:
  }
  return [{ pointer: toPointer(issue.path), code: toReason(issue), detail: issue.message }];
}

/** Whether the value itself is of another type than the schema, and not only some part of it. */
function isOtherType(issue: z.core.$ZodIssue): boolean {
  if (issue.path.length > 0) return false;
  if (issue.code === 'invalid_union') return issue.errors.every((issues) => issues.some(isOtherType));
  return issue.code === 'invalid_type';
}

function toReason(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
    case 'invalid_union':
      return issue.input === undefined ? 'required' : 'invalid_type';
    case 'too_small':
      return 'too_short';
    case 'too_big':
      return issue.origin === 'string' ? 'too_long' : 'too_many';
    case 'custom':
      return String(issue.params?.code ?? 'invalid_value');
    default:
      return issue.code;
  }
}

/** What is said where a schema has no words of its own. */
const describe: z.core.$ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
    case 'invalid_union':
      if (issue.input === undefined) return 'This field is required.';
      if (issue.code === 'invalid_union') return undefined;
      return `Must be ${nameType(issue.expected)}, not ${nameValue(issue.input)}.`;
    case 'too_small':
      return 'Must not be empty.';
    case 'too_big':
      return `Must have at most ${issue.maximum} ${issue.origin === 'string' ? 'characters' : 'items'}.`;
    case 'invalid_value':
      return `Must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}.`;
    default:
      return undefined;
  }
};

const TYPES: Readonly<Record<string, string>> = {
  array: 'a list',
  object: 'an object',
  record: 'an object',
  boolean: 'true or false',
};

function nameType(expected: string): string {
  return TYPES[expected] ?? `a ${expected}`;
}

function nameValue(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function describeUnknown(field: string, known: readonly string[]): string {
  const plain = (name: string) => name.toLowerCase().replace(/[^a-z]/g, '');
  const wanted = plain(field.slice(0, MAX_SEGMENT_LENGTH));
  const [nearest] = known
    .map((name) => ({ name, steps: distance(wanted, plain(name)) }))
    .sort((a, b) => a.steps - b.steps);
  if (nearest && nearest.steps <= wanted.length / 2)
    return `There is no such field. Did you mean "${nearest.name}"?`;
  return `There is no such field. The fields are: ${known.join(', ')}.`;
}
