import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import { openApiDocument } from '../../src/http/app.ts';

interface Schema {
  readonly allOf?: readonly {
    readonly properties?: { readonly code?: { readonly enum: readonly ErrorCode[] } };
  }[];
}

interface DocumentedAnswer {
  readonly headers?: Readonly<Record<string, { readonly schema: { readonly type: string } }>>;
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}

export interface Operation {
  readonly operationId: string;
  readonly method: string;
  /** As `/messages/{id}`. */
  readonly path: string;
  /** Empty: it takes no key. */
  readonly security?: readonly object[];
  readonly responses: Readonly<Record<string, DocumentedAnswer>>;
}

/** An answer as it came over the wire. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** What an answer comes to: a status of success, or the code of an error, with its status where that is another than the code has in ERRORS. */
export type Outcome = number | ErrorCode | `${number} ${ErrorCode}`;

export interface Contract {
  readonly operations: readonly Operation[];
  operation(id: string): Operation;
  /**
   * Holds an answer against what the document says of its operation, and more strictly than a client should: a field that is not documented is wrong.
   *
   * @throws {Error} that says what is wrong
   */
  check(operation: Operation, answer: Answer): Outcome;
}

/** The OpenAPI document that the service serves, to hold its answers against. */
export async function readContract(): Promise<Contract> {
  const document = parse(await openApiDocument('0.0.0-test'));
  const operations = Object.entries<Readonly<Record<string, Operation>>>(document.paths).flatMap(
    ([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        ...operation,
        path,
        method: method.toUpperCase(),
      })),
  );
  const validate = createValidator(document.components);

  return {
    operations,
    operation(id) {
      const operation = operations.find(({ operationId }) => operationId === id);
      if (!operation) throw new Error(`There is no operation ${id}.`);
      return operation;
    },
    check({ operationId, responses }, answer) {
      try {
        const documented = responses[answer.status];
        if (!documented) throw new Error('Its status is not documented.');
        const value = readBody(documented, answer, validate);
        const code = answer.status < 400 ? null : readCode(documented, answer, value as ErrorBody);
        expectHeaders(documented, answer, code);
        return code === null ? answer.status : toOutcome(answer.status, code);
      } catch (error) {
        throw new Error(`${operationId} ${answer.status} ${answer.body.slice(0, 1000)}`, { cause: error });
      }
    },
  };
}

/** Every outcome that the document promises of an operation. */
export function outcomesOf({ responses }: Operation): Outcome[] {
  return Object.entries(responses).flatMap(([status, answer]) =>
    Number(status) < 400 ? [Number(status)] : codesOf(answer).map((code) => toOutcome(Number(status), code)),
  );
}

function toOutcome(status: number, code: ErrorCode): Outcome {
  return ERRORS[code].status === status ? code : `${status} ${code}`;
}

function codesOf({ content = {} }: DocumentedAnswer): readonly ErrorCode[] {
  return Object.values(content).flatMap(
    ({ schema }) => schema.allOf?.flatMap(({ properties }) => properties?.code?.enum ?? []) ?? [],
  );
}

type Validate = (schema: Schema, value: unknown) => void;

function createValidator(components: object): Validate {
  const ajv = new Ajv2020({ allErrors: true, strict: false });
  addFormats.default(ajv);
  // Compiled once, and not with each schema that refers to them.
  ajv.addSchema({ $id: DOCUMENT, components: closed(components) });
  const compiled = new Map<Schema, ValidateFunction>();

  return (schema, value) => {
    const isValid = compiled.get(schema) ?? ajv.compile(absolute(closed(schema)));
    compiled.set(schema, isValid);
    if (isValid(value)) return;
    const errors = isValid.errors?.map(
      ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
    );
    throw new Error(`Its body is not as documented: ${errors?.join('; ')}`);
  };
}

const DOCUMENT = 'https://outtray.test/openapi.yaml';

/** The same schema with references that lead into the document from outside. */
function absolute(schema: Schema): Schema {
  return JSON.parse(JSON.stringify(schema), (keyword, value) =>
    keyword === '$ref' ? DOCUMENT + value : value,
  );
}

/** The same schema without room for fields that it does not name. What stands in an allOf has each only a part of them. */
function closed<Part>(schema: Part): Part {
  if (typeof schema !== 'object' || schema === null) return schema;
  if (Array.isArray(schema)) return schema.map(closed) as Part;
  const parts = Object.entries(schema).map(([keyword, part]) => [
    keyword,
    keyword === 'allOf' ? part : closed(part),
  ]);
  const isOpen = 'properties' in schema && !('additionalProperties' in schema);
  return { ...Object.fromEntries(parts), ...(isOpen && { additionalProperties: false }) };
}

function readBody(
  { content = {} }: DocumentedAnswer,
  { headers, body }: Answer,
  validate: Validate,
): unknown {
  const type = headers.get('content-type')?.split(';')[0] ?? '';
  if (Object.keys(content).length === 0 && type === '' && body === '') return null;
  const documented = content[type];
  if (!documented) throw new Error(`Its media type is not documented: ${type}`);
  const value: unknown = type.endsWith('json') ? JSON.parse(body) : body;
  validate(documented.schema, value);
  return value;
}

/** A problem, or an error as Resend's. */
interface ErrorBody {
  readonly code: ErrorCode;
  readonly status?: number;
  readonly statusCode?: number;
  readonly request_id: string;
}

function readCode(documented: DocumentedAnswer, { status, headers }: Answer, error: ErrorBody): ErrorCode {
  if (!codesOf(documented).includes(error.code)) throw new Error(`Its code is not documented: ${error.code}`);
  if ((error.status ?? error.statusCode) !== status) throw new Error('It is told with another status.');
  if (error.request_id !== headers.get('x-request-id')) throw new Error('It has another id in X-Request-Id.');
  return error.code;
}

/** Of what only some answers are: repeated, waited for, or of a message that is kept. */
const OPTIONAL_HEADERS: ReadonlySet<string> = new Set([
  'Idempotency-Replayed',
  'Preference-Applied',
  'Location 200',
]);
/** What a key may do is not told where the key was not looked at. */
const WITHOUT_KEY: ReadonlySet<ErrorCode | null> = new Set([
  'invalid_json',
  'missing_api_key',
  'invalid_api_key',
  'request_timeout',
]);

function expectHeaders({ headers = {} }: DocumentedAnswer, answer: Answer, code: ErrorCode | null): void {
  for (const [name, { schema }] of Object.entries(headers)) {
    const value = answer.headers.get(name);
    const isOptional =
      OPTIONAL_HEADERS.has(name) ||
      OPTIONAL_HEADERS.has(`${name} ${answer.status}`) ||
      (name.startsWith('RateLimit') && WITHOUT_KEY.has(code));
    if (value === null && !isOptional) throw new Error(`It has no ${name}.`);
    if (value !== null && schema.type === 'integer' && !/^\d+$/.test(value))
      throw new Error(`Its ${name} is no number: ${value}`);
  }
}
