import swagger from '@fastify/swagger';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { z } from 'zod';
import {
  email,
  emailBatchAnswer,
  emailItem,
  emailList,
  emailRequest,
  resendError,
} from '../resend/schemas.ts';
import { account } from '../schemas/account.ts';
import { attachment } from '../schemas/attachment.ts';
import { batchAnswer, batchItem, batchResult } from '../schemas/batch.ts';
import { mailbox } from '../schemas/mailbox.ts';
import {
  address,
  attachmentInfo,
  attempt,
  deliveryError,
  droppedMessage,
  errorCode,
  messageList,
  messageResource,
  preview,
  recipient,
  sendResult,
  smtpReply,
  warning,
} from '../schemas/message.ts';
import { fieldError, problem } from '../schemas/problem.ts';
import type { Answer } from '../schemas/responses.ts';
import { sendRequest } from '../schemas/send.ts';
import { suppression, suppressionList } from '../schemas/suppression.ts';
import { alsoTakenBy } from '../validation/leniency.ts';
import { isOptionalBody } from '../validation/validation.ts';
import { bodyExample, type DocumentedRoute, errorExamples, problemExample } from './examples.ts';

/** The schemas that have a name in the document, as callers write them and as they get them. */
const REQUESTS = {
  SendRequest: sendRequest,
  EmailRequest: emailRequest,
  Mailbox: mailbox,
  Attachment: attachment,
};
const RESPONSES = {
  Message: messageResource,
  DroppedMessage: droppedMessage,
  MessageList: messageList,
  Address: address,
  Recipient: recipient,
  Attempt: attempt,
  AttachmentInfo: attachmentInfo,
  Warning: warning,
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
  Email: email,
  EmailList: emailList,
  EmailBatchAnswer: emailBatchAnswer,
  ResendError: resendError,
  ErrorCode: errorCode,
};

type Direction = 'input' | 'output';

const NAMES: Readonly<Record<Direction, ReadonlyMap<z.core.$ZodType, string>>> = {
  input: named(REQUESTS),
  output: named(RESPONSES),
};

function named(schemas: Readonly<Record<string, z.ZodType>>): Map<z.core.$ZodType, string> {
  return new Map(Object.entries(schemas).map(([id, schema]) => [schema, id]));
}

const TAGS = [
  { name: 'messages', description: 'Send mail, and see what became of it.' },
  { name: 'accounts', description: 'How each sender is, and what it may still send.' },
  {
    name: 'resend',
    description: 'The same in the shapes of Resend’s API: its SDKs work once their base URL is this service.',
  },
  { name: 'templates', description: 'What the operator has written for mail to say.' },
  { name: 'suppressions', description: 'Addresses that are not sent to, and why.' },
  { name: 'health', description: 'For load balancers and orchestrators.' },
  { name: 'docs', description: 'The contract itself.' },
];

const SERVER = {
  url: 'http://{host}:{port}',
  description: 'Where HOST and PORT make it listen.',
  variables: { host: { default: 'localhost' }, port: { default: '3000' } },
};

/** Any one of them. The challenge of a 401 is always Bearer: browsers would store Basic credentials and send them with every request. */
const SECURITY_SCHEMES = {
  bearer: { type: 'http', scheme: 'bearer', description: 'A secret of API_KEYS.' },
  apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'A secret of API_KEYS.' },
  basic: {
    type: 'http',
    scheme: 'basic',
    description: 'The name of a key as the user name, its secret as the password.',
  },
} as const;

const DESCRIPTION = `Sends email through Gmail and tells the truth about what happened.

Every error is an \`application/problem+json\` document with a \`code\` that does not change; \`/problems/{code}\` explains each.
Those of /emails, and all for a \`User-Agent\` that starts with \`resend-\`, are shaped as Resend's, with the same \`code\`. Times are ISO 8601 in UTC, sizes are bytes.`;

/** Collects the routes that are registered after it into an OpenAPI 3.1 document. */
export async function documentApi(app: FastifyInstance, version: string): Promise<void> {
  // The schemas of bodies by operationId: @fastify/swagger takes every body for required, and leaves out its example.
  const bodies = new Map<string | undefined, unknown>();
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.1',
      info: {
        title: 'Outtray',
        version,
        description: DESCRIPTION,
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [SERVER],
      tags: TAGS,
      security: Object.keys(SECURITY_SCHEMES).map((name) => ({ [name]: [] })),
      components: { securitySchemes: SECURITY_SCHEMES },
    },
    transform: ({ schema = { hide: true }, url }) => {
      if (schema.body !== undefined) bodies.set(schema.operationId, schema.body);
      return { schema: toJsonSchemas({ schema, url }), url };
    },
    transformObject: (document) => {
      if (!('openapiObject' in document)) throw new Error('Only OpenAPI 3 is supported');
      const { components, paths = {} } = document.openapiObject;
      for (const operation of Object.values(paths).flatMap((path) => [path?.post, path?.put, path?.patch])) {
        const body = operation?.requestBody;
        if (!body || !('required' in body)) continue;
        const schema = bodies.get(operation.operationId);
        body.required = !isOptionalBody(schema);
        for (const media of Object.values(body.content)) media.example = bodyExample(schema);
      }
      const schemas = {
        ...mapValues(REQUESTS, (schema) => toJsonSchema(schema, 'input')),
        ...mapValues(RESPONSES, (schema) => toJsonSchema(schema, 'output')),
        Problem: { ...toJsonSchema(problem, 'output'), examples: [problemExample()] },
      };
      return Object.assign(document.openapiObject, { components: { ...components, schemas } });
    },
  });
}

/** A route's schemas as the document has them. */
function toJsonSchemas(route: DocumentedRoute): FastifySchema {
  const { body, params, querystring, headers, response, ...rest } = route.schema;
  return {
    ...rest,
    ...(body instanceof z.ZodType && { body: toSchema(body, 'input') }),
    ...(params instanceof z.ZodType && { params: toSchema(params, 'input') }),
    ...(querystring instanceof z.ZodType && { querystring: toSchema(querystring, 'input') }),
    ...(headers instanceof z.ZodType && { headers: toSchema(headers, 'input') }),
    response: mapValues((response ?? {}) as Record<string, Answer>, (answer) => ({
      description: answer.description,
      // A copy: what is the same object twice would become an alias in YAML, which few readers of OpenAPI know.
      ...(Object.keys(answer.headers).length > 0 && { headers: structuredClone(answer.headers) }),
      // @fastify/swagger knows an answer without a body by this.
      ...(Object.keys(answer.content).length === 0 && { type: 'null' }),
      content: mapValues(answer.content, ({ schema }) => ({
        schema: toSchema(schema, 'output'),
        examples: errorExamples(answer, route),
      })),
    })),
  };
}

function mapValues<From, To>(
  map: Readonly<Record<string, From>>,
  change: (value: From) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, change(value)]));
}

/** A reference where the schema has a name, else the schema itself. */
function toSchema(schema: z.ZodType, io: Direction): object {
  const id = NAMES[io].get(schema);
  return id === undefined ? toJsonSchema(schema, io) : { $ref: toReference(id) };
}

function toReference(id: string): string {
  return `#/components/schemas/${id}`;
}

/** The schema itself, with references to what it holds where that has a name. */
function toJsonSchema(schema: z.ZodType, io: Direction): object {
  // Where a schema is from is said by its place in the document.
  const { $schema: _schema, ...rest } = z.toJSONSchema(schema, { io, override: refine(schema, io) });
  return rest;
}

interface Made {
  readonly zodSchema: z.core.$ZodType;
  readonly jsonSchema: z.core.JSONSchema.BaseSchema;
}

/** Puts a reference in the place of a schema that has a name; of one that only describes such a schema anew, what it says of it stays. */
function refer({ zodSchema, jsonSchema }: Made, io: Direction): boolean {
  const { parent } = zodSchema._zod;
  const own = NAMES[io].get(zodSchema);
  const id = own ?? (parent && NAMES[io].get(parent));
  if (id === undefined) return false;
  const { description } = jsonSchema;
  for (const keyword of Object.keys(jsonSchema)) delete jsonSchema[keyword];
  Object.assign(jsonSchema, own === undefined && { description }, { $ref: toReference(id) });
  return true;
}

/** Adds another form of the value. The description and the examples stay outside, as they are of the whole. */
function addAlternative(jsonSchema: z.core.JSONSchema.BaseSchema, other: z.core.JSONSchema.BaseSchema): void {
  const isAnyText =
    jsonSchema.type === 'string' && !jsonSchema.pattern && !jsonSchema.format && !jsonSchema.enum;
  if (isAnyText && other.enum) {
    // The same in fewer words, of which generators of clients make a plain type.
    Object.assign(jsonSchema, { type: ['string', 'null'] });
    if (other.enum.includes('')) delete jsonSchema.minLength;
    return;
  }
  const { description, examples, ...form } = jsonSchema;
  for (const keyword of Object.keys(form)) delete jsonSchema[keyword];
  const { anyOf, ...rest } = form;
  const forms = anyOf && Object.keys(rest).length === 0 ? anyOf : [form];
  jsonSchema.anyOf = [...forms, other];
}

function refine(root: z.ZodType, io: Direction) {
  return (made: Made): void => {
    const { zodSchema, jsonSchema } = made;
    if (zodSchema !== root && refer(made, io)) return;
    // zod drops the examples of what it transforms: it takes them for examples of the outcome.
    const examples = z.globalRegistry.get(zodSchema)?.examples;
    if (Array.isArray(examples)) jsonSchema.examples = examples;
    if (zodSchema === batchItem) jsonSchema.$ref = toReference('SendRequest');
    if (zodSchema === emailItem) jsonSchema.$ref = toReference('EmailRequest');
    const alsoTaken = alsoTakenBy(zodSchema);
    if (alsoTaken) addAlternative(jsonSchema, alsoTaken);
    // Readers of answers must not mind fields they do not know yet.
    if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    // What only repeats the format or the type.
    if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
    if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
    if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  };
}
