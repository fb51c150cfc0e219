import { distance } from 'fastest-levenshtein';
import { z } from 'zod';
import { AppError, type FieldError, summarize } from '../../core/errors.ts';
import { isRecord } from './json-values.ts';

/** Keeps the response small, whatever the request contains. */
const MAX_ERRORS = 100;
const MAX_SEGMENT_LENGTH = 100;

/**
 * An object with only these fields. The error for an unknown field suggests the most similar known
 * one.
 */
export function strictObject<Shape extends z.core.$ZodShape>(shape: Shape) {
  // zod passes on only the message, so it carries the field names. toFieldErrors turns them into a
  // sentence.
  const known = Object.keys(shape).join(' ');
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? known : undefined),
  });
}

/** A body that may be absent. It then counts as an empty object. */
export function optionalBody<Schema extends z.ZodType>(schema: Schema) {
  return z.preprocess((body) => body ?? {}, schema);
}

/** Whether the schema of a body accepts a request without one. */
export function isOptionalBody(schema: unknown): boolean {
  return schema instanceof z.ZodType && schema.safeParse(undefined).success;
}

/** Prefixes of pointers into parts of a request other than the body. */
const PREFIXES: Readonly<Record<string, string>> = { querystring: 'query:', params: 'path:' };

/**
 * Validates one part of a request.
 *
 * @param part The name Fastify gives the part: `body`, `querystring` or `params`.
 * @throws {AppError} `validation_failed`, or `attachment_blocked` if every error is one; lists all
 *   errors
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

/**
 * Adds a hint to errors of query parameters that contain a space: clients often forget to encode a
 * "+" in a URL.
 */
function explainPlus(error: FieldError, query: unknown): FieldError {
  const value = isRecord(query) ? query[error.pointer.slice(1)] : undefined;
  if (error.code === 'unknown_field' || !String(value).includes(' ')) return error;
  return { ...error, detail: `${error.detail} A + in a query means a space: write %2B for a plus sign.` };
}

/**
 * The error for a request with invalid fields: `validation_failed`, or `attachment_blocked` if
 * every error is one.
 */
export function invalidFields(found: readonly FieldError[]): AppError {
  const errors = found.slice(0, MAX_ERRORS);
  const blocked = errors.every(({ code }) => code === 'attachment_blocked');
  return new AppError(blocked ? 'attachment_blocked' : 'validation_failed', {
    detail: summarize(found),
    errors,
  });
}

/** A JSON Pointer (RFC 6901). */
function toPointer(path: readonly PropertyKey[]): string {
  return path
    .map(
      (segment) =>
        `/${String(segment).slice(0, MAX_SEGMENT_LENGTH).replaceAll('~', '~0').replaceAll('/', '~1')}`,
    )
    .join('');
}

/** Turns a pointer into a part into one into the request: `query:limit`, `path:email`. */
function locate(pointer: string, part: string): string {
  const prefix = PREFIXES[part];
  return prefix === undefined ? pointer : prefix + pointer.slice(1);
}

/** Converts an issue found by zod. An issue can be several errors: one for each unknown field. */
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
      // The only branch of the right type has the most helpful errors.
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

/** Whether the value itself, not just a part of it, has another type than the schema expects. */
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

/** Error texts for schemas that do not define their own. */
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

/** Maximum length of a quoted part of a request, in characters. */
const MAX_QUOTE_LENGTH = 100;

/**
 * Quotes a part of a request for an error text: visible ASCII on one line, in backticks, at most
 * 100 characters.
 */
export function quote(text: string): string {
  const visible = text.replace(/[^ -_a-~]/g, '?');
  const shown = visible.length > MAX_QUOTE_LENGTH ? `${visible.slice(0, MAX_QUOTE_LENGTH - 1)}…` : visible;
  return `\`${shown}\``;
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
