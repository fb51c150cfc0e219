import type { FastifySchema } from 'fastify';
import type { ErrorCode } from '../../core/errors.ts';
import type { DocumentedResponse, DocumentedResponses } from '../schemas/responses.ts';
import { isOptionalBody } from '../validation/validation.ts';
import type { Components, Reference } from './components.ts';
import { type DocumentedRoute, errorExample } from './error-examples.ts';
import { toSchema } from './json-schema.ts';
import { REQUEST_EXAMPLES } from './request-examples.ts';

/** An operation in the document, as far as it is read and changed here. */
export interface Operation {
  readonly operationId?: string;
  parameters?: (Reference | Parameter)[];
  readonly requestBody?: {
    required?: boolean;
    readonly content: Record<string, Media>;
  };
  responses?: object;
}

interface Media {
  readonly schema?: unknown;
  readonly encoding?: object;
  examples?: unknown;
}

interface Parameter {
  readonly name: string;
  readonly in?: string;
  readonly required?: boolean;
  readonly description?: string;
}

/** A response with more codes than this is named after an operation instead of its codes. */
const MAX_CODES_IN_NAME = 3;

/**
 * Adds to an operation what @fastify/swagger cannot: the responses, examples, and whether the body
 * is required.
 */
export function completeOperation(
  operation: Operation,
  schema: FastifySchema,
  components: Components,
  routes: readonly DocumentedRoute[],
): void {
  const { operationId = '', requestBody } = operation;
  if (requestBody) {
    requestBody.required = !isOptionalBody(schema.body);
    for (const [type, media] of Object.entries(requestBody.content)) {
      if (type === 'multipart/form-data') requestBody.content[type] = toForm(media);
      else media.examples = REQUEST_EXAMPLES[operationId];
    }
  }
  if (operation.parameters) operation.parameters = operation.parameters.map(inOrder);
  const responses = Object.entries(schema.response as DocumentedResponses);
  operation.responses = Object.fromEntries(
    responses.map(([status, response]) => {
      const documented = {
        description: unwrap(response.description),
        ...toHeaders(response, components),
        ...toContent(response, components, routes),
      };
      if (!response.codes) return [status, documented];
      const name =
        response.codes.length > MAX_CODES_IN_NAME
          ? toPascalCase(operationId) + status
          : prefixOf(schema) + response.codes.map(toPascalCase).join('Or');
      return [status, components.add('responses', name, documented)];
    }),
  );
}

/** The form that has a body of JSON as its part `message`, see `src/http/request/body/form-message.ts`. */
function toForm({ schema }: Media): Media {
  const file = { type: 'string', contentMediaType: 'application/octet-stream' };
  return {
    schema: {
      type: 'object',
      properties: {
        message: schema,
        attachments: {
          type: 'array',
          items: file,
          description: 'Files. Parts of any other name with a file name are files too.',
        },
      },
      required: ['message'],
    },
    encoding: { message: { contentType: 'application/json' } },
  };
}

/** Puts the name of a parameter first, and omits `required: false`, which is the default. */
function inOrder(parameter: Reference | Parameter): Reference | Parameter {
  if (!('name' in parameter)) return parameter;
  const { name, in: location, required, description, ...rest } = parameter;
  return {
    name,
    ...(location && { in: location }),
    ...(required && { required }),
    ...(description && { description }),
    ...rest,
  };
}

/** Joins the lines of each paragraph, which are wrapped in the source. */
export function unwrap(text: string): string {
  return text.replace(/(?<!\n)\n(?!\n)/g, ' ');
}

function toHeaders({ headers }: DocumentedResponse, components: Components): object {
  const entries = Object.entries(headers).map(([name, { description, ...schema }]) => [
    name,
    components.add('headers', name, { description, schema }),
  ]);
  return entries.length > 0 ? { headers: Object.fromEntries(entries) } : {};
}

function toContent(
  { content, codes }: DocumentedResponse,
  components: Components,
  routes: readonly DocumentedRoute[],
): object {
  const entries = Object.entries(content).map(([type, { schema }]) => [
    type,
    {
      // Narrows the code of an error, so that generated clients know what they can branch on.
      schema: codes
        ? { allOf: [toSchema(schema, 'output'), { properties: { code: { enum: codes } } }] }
        : toSchema(schema, 'output'),
      ...(type === 'application/problem+json' && { examples: toExamples(codes ?? [], components, routes) }),
    },
  ]);
  return entries.length > 0 ? { content: Object.fromEntries(entries) } : {};
}

function toExamples(
  codes: readonly ErrorCode[],
  components: Components,
  routes: readonly DocumentedRoute[],
): Record<string, Reference> {
  const toReference = (code: ErrorCode) =>
    components.add('examples', toPascalCase(code), { value: errorExample(code, routes) });
  return Object.fromEntries(codes.map((code) => [code, toReference(code)]));
}

/**
 * Distinguishes responses with the same codes: Resend's have another shape; public routes and
 * metrics, whose requests are not counted, have other headers.
 */
function prefixOf({ tags, security }: FastifySchema): string {
  if (tags?.includes('resend')) return 'Resend';
  if (tags?.includes('metrics')) return 'Metrics';
  return security?.length === 0 ? 'Public' : '';
}

function toPascalCase(name: string): string {
  return name.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
