import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import {
  type DocumentedResponse,
  type Media,
  type Operation,
  readServedDocument,
} from './openapi-document.ts';

export type { Operation } from './openapi-document.ts';

/** A response as it was received. */
export interface ReceivedResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/**
 * The status of a successful response, or the code of an error. The status precedes the code if it
 * differs from the one in ERRORS.
 */
export type Outcome = number | ErrorCode | `${number} ${ErrorCode}`;

export interface Contract {
  readonly operations: readonly Operation[];
  operation(id: string): Operation;
  /**
   * Checks a response against the document. Stricter than a client should be: undocumented fields
   * are errors.
   *
   * @throws {Error} if the response is not as documented
   */
  check(operation: Operation, response: ReceivedResponse): Outcome;
}

/** Reads the OpenAPI document that the service serves. */
export async function readContract(): Promise<Contract> {
  const { document, operations } = await readServedDocument();
  const validate = createValidator(document.components);

  return {
    operations,
    operation(id) {
      const operation = operations.find(({ operationId }) => operationId === id);
      if (!operation) throw new Error(`There is no operation ${id}.`);
      return operation;
    },
    check({ operationId, responses }, response) {
      try {
        const documented = responses[response.status];
        if (!documented) throw new Error('The status is not documented.');
        const value = readBody(documented, response, validate);
        const code = response.status < 400 ? null : readCode(documented, response, value as ErrorBody);
        expectHeaders(documented, response, code);
        return code === null ? response.status : toOutcome(response.status, code);
      } catch (error) {
        throw new Error(`${operationId} ${response.status} ${response.body.slice(0, 1000)}`, {
          cause: error,
        });
      }
    },
  };
}

/** Every outcome that the document lists for an operation. */
export function outcomesOf({ responses }: Operation): Outcome[] {
  return Object.entries(responses).flatMap(([status, response]) =>
    Number(status) < 400
      ? [Number(status)]
      : codesOf(response).map((code) => toOutcome(Number(status), code)),
  );
}

function toOutcome(status: number, code: ErrorCode): Outcome {
  return ERRORS[code].status === status ? code : `${status} ${code}`;
}

function codesOf({ content = {} }: DocumentedResponse): readonly ErrorCode[] {
  return Object.values(content).flatMap(
    ({ schema }) => schema.allOf?.flatMap(({ properties }) => properties?.code?.enum ?? []) ?? [],
  );
}

/** @throws {Error} if the value does not match the schema */
type Validate = (schema: Media['schema'], value: unknown) => void;

/** Validates against schemas of the document, without allowing undocumented fields. */
export function createValidator({ schemas }: { readonly schemas: object }): Validate {
  const ajv = new Ajv2020({ allErrors: true, strict: false });
  addFormats.default(ajv);
  // Compiled once instead of with each schema that refers to it.
  ajv.addSchema({ $id: DOCUMENT, components: { schemas: closed(schemas) } });
  const compiled = new Map<Media['schema'], ValidateFunction>();

  return (schema, value) => {
    const isValid = compiled.get(schema) ?? ajv.compile(absolute(closed(schema)));
    compiled.set(schema, isValid);
    if (isValid(value)) return;
    const errors = isValid.errors?.map(
      ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
    );
    throw new Error(`The body is not as documented: ${errors?.join('; ')}`);
  };
}

const DOCUMENT = 'https://outtray.test/openapi.yaml';

/** Makes the references of a schema absolute, so that they resolve from outside the document. */
function absolute(schema: Media['schema']): Media['schema'] {
  return JSON.parse(JSON.stringify(schema), (keyword, value) =>
    keyword === '$ref' ? DOCUMENT + value : value,
  );
}

/**
 * Forbids fields that a schema does not name. The parts of an allOf stay open, since each names
 * only some fields.
 */
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
  { content = {} }: DocumentedResponse,
  { headers, body }: ReceivedResponse,
  validate: Validate,
): unknown {
  const type = headers.get('content-type')?.split(';')[0] ?? '';
  if (Object.keys(content).length === 0 && type === '' && body === '') return null;
  const documented = content[type];
  if (!documented) throw new Error(`The media type is not documented: ${type}`);
  const value: unknown = type.endsWith('json') ? JSON.parse(body) : body;
  validate(documented.schema, value);
  return value;
}

/** A problem, or an error in Resend's shape. */
interface ErrorBody {
  readonly code: ErrorCode;
  readonly status?: number;
  readonly statusCode?: number;
  readonly request_id: string;
}

function readCode(
  documented: DocumentedResponse,
  { status, headers }: ReceivedResponse,
  error: ErrorBody,
): ErrorCode {
  if (!codesOf(documented).includes(error.code)) throw new Error(`The code is not documented: ${error.code}`);
  if ((error.status ?? error.statusCode) !== status) throw new Error('The body has a different status.');
  if (error.request_id !== headers.get('x-request-id'))
    throw new Error('X-Request-Id differs from the request_id of the body.');
  return error.code;
}

/**
 * Headers of some responses only: to repeated requests, to waiting requests, or about a stored
 * message.
 */
const OPTIONAL_HEADERS: ReadonlySet<string> = new Set([
  'Idempotency-Replayed',
  'Preference-Applied',
  'Location 200',
]);
/** Errors that precede the check of the key, and so have no rate limit headers. */
const WITHOUT_KEY: ReadonlySet<ErrorCode | null> = new Set([
  'invalid_json',
  'missing_api_key',
  'invalid_api_key',
  'request_timeout',
]);

function expectHeaders(
  { headers = {} }: DocumentedResponse,
  response: ReceivedResponse,
  code: ErrorCode | null,
): void {
  for (const [name, { schema }] of Object.entries(headers)) {
    const value = response.headers.get(name);
    const isOptional =
      OPTIONAL_HEADERS.has(name) ||
      OPTIONAL_HEADERS.has(`${name} ${response.status}`) ||
      (name.startsWith('RateLimit') && WITHOUT_KEY.has(code));
    if (value === null && !isOptional) throw new Error(`The header ${name} is missing.`);
    if (value !== null && schema.type === 'integer' && !/^\d+$/.test(value))
      throw new Error(`The header ${name} is not a number: ${value}`);
  }
}
