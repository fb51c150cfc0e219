import swagger from '@fastify/swagger';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { z } from 'zod';
import { account } from '../schemas/account.ts';
import type { Answer } from '../schemas/answers.ts';
import { attachment } from '../schemas/attachment.ts';
import { batchAnswer, batchItem, batchResult } from '../schemas/batch.ts';
import { mailbox } from '../schemas/mailbox.ts';
import {
  address,
  attempt,
  deliveryError,
  messageList,
  messageResource,
  preview,
  recipient,
  sendResult,
  smtpReply,
} from '../schemas/message.ts';
import { fieldError, problem } from '../schemas/problem.ts';
import { sendRequest } from '../schemas/send.ts';
import { suppression, suppressionList } from '../schemas/suppression.ts';

/** The schemas that have a name in the document, as callers write them and as they get them. */
const REQUESTS = named({ SendRequest: sendRequest, Mailbox: mailbox, Attachment: attachment });
const RESPONSES = named({
  Message: messageResource,
  MessageList: messageList,
  Address: address,
  Recipient: recipient,
  Attempt: attempt,
  SmtpReply: smtpReply,
  DeliveryError: deliveryError,
  Account: account,
  Preview: preview,
  SendResult: sendResult,
  BatchAnswer: batchAnswer,
  BatchResult: batchResult,
  Suppression: suppression,
  SuppressionList: suppressionList,
  Problem: problem,
  FieldError: fieldError,
});

function named(schemas: Record<string, z.ZodType>) {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id });
  return registry;
}

const TAGS = [
  { name: 'messages', description: 'Send mail, and see what became of it.' },
  { name: 'accounts', description: 'How each sender is, and what it may still send.' },
  { name: 'suppressions', description: 'Addresses that are not sent to, and why.' },
  { name: 'health', description: 'For load balancers and orchestrators.' },
  { name: 'docs', description: 'The contract itself.' },
];

const SERVER = {
  url: 'http://{host}:{port}',
  description: 'Where HOST and PORT make it listen.',
  variables: { host: { default: 'localhost' }, port: { default: '3000' } },
};

const DESCRIPTION = `Sends email through Gmail and tells the truth about what happened.

Every error is an \`application/problem+json\` document with a \`code\` that does not change; \`/problems/{code}\` explains each.
Times are ISO 8601 in UTC, sizes are bytes.`;

/** Collects the routes that are registered after it into an OpenAPI 3.1 document. */
export async function documentApi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.1',
      info: { title: 'Outtray', version, description: DESCRIPTION, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [SERVER],
      tags: TAGS,
      security: [{ bearer: [] }],
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer', description: 'A secret of API_KEYS.' } } },
    },
    transform: ({ schema, url }) => ({ schema: toJsonSchemas(schema ?? { hide: true }), url }),
    transformObject: (document) => {
      if (!('openapiObject' in document)) throw new Error('Only OpenAPI 3 is supported');
      const schemas = { ...toComponents(REQUESTS, 'input'), ...toComponents(RESPONSES, 'output') };
      return Object.assign(document.openapiObject, { components: { ...document.openapiObject.components, schemas } });
    },
  });
}

/** A route's schemas as the document has them. */
function toJsonSchemas({ body, params, querystring, headers, response, ...rest }: FastifySchema): FastifySchema {
  return {
    ...rest,
    ...(body instanceof z.ZodType && { body: toJsonSchema(body, 'input') }),
    ...(params instanceof z.ZodType && { params: toJsonSchema(params, 'input') }),
    ...(querystring instanceof z.ZodType && { querystring: toJsonSchema(querystring, 'input') }),
    ...(headers instanceof z.ZodType && { headers: toJsonSchema(headers, 'input') }),
    response: mapValues((response ?? {}) as Record<string, Answer>, ({ description, headers, content }) => ({
      description,
      // A copy: what is the same object twice would become an alias in YAML, which few readers of OpenAPI know.
      ...(Object.keys(headers).length > 0 && { headers: structuredClone(headers) }),
      // @fastify/swagger knows an answer without a body by this.
      ...(Object.keys(content).length === 0 && { type: 'null' }),
      content: mapValues(content, ({ schema }) => ({ schema: toJsonSchema(schema, 'output') })),
    })),
  };
}

function mapValues<From, To>(map: Readonly<Record<string, From>>, change: (value: From) => To): Record<string, To> {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, change(value)]));
}

type Direction = 'input' | 'output';

function toReference(id: string): string {
  return `#/components/schemas/${id}`;
}

/** A reference where the schema has a name, else the schema itself. */
function toJsonSchema(schema: z.ZodType, io: Direction): object {
  const id = (io === 'input' ? REQUESTS : RESPONSES).get(schema)?.id;
  if (id !== undefined) return { $ref: toReference(id) };
  return tidy(z.toJSONSchema(schema, { io, override: refine(io) }));
}

function toComponents(registry: ReturnType<typeof named>, io: Direction): Record<string, object> {
  const { schemas } = z.toJSONSchema(registry, { io, override: refine(io), uri: toReference });
  return mapValues(schemas, tidy);
}

/** Keywords that say where a schema is from: in the document its place says it. */
function tidy({ $schema: _schema, $id: _id, ...schema }: z.core.JSONSchema.BaseSchema): z.core.JSONSchema.BaseSchema {
  return schema;
}

function refine(io: Direction) {
  return ({ zodSchema, jsonSchema }: { zodSchema: z.core.$ZodType; jsonSchema: z.core.JSONSchema.BaseSchema }): void => {
    // zod drops the examples of what it transforms: it takes them for examples of the outcome.
    const examples = z.globalRegistry.get(zodSchema)?.examples;
    if (Array.isArray(examples)) jsonSchema.examples = examples;
    if (zodSchema === batchItem) jsonSchema.$ref = toReference('SendRequest');
    // Readers of answers must not mind fields they do not know yet.
    if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    // What only repeats the format or the type.
    if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
    if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
    if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  };
}
