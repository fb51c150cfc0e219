import swagger from '@fastify/swagger';
import type { FastifyInstance, FastifySchema } from 'fastify';
import { z } from 'zod';
import type { ErrorCode } from '../../core/errors.ts';
import { toResendError } from '../resend/errors.ts';
import type { ErrorExample } from '../routes/problem-pages.ts';
import { createComponents, shareParameters } from './components.ts';
import { type DocumentedRoute, exampleOnPage, problemExample } from './error-examples.ts';
import { namedSchemas, toSchema } from './json-schema.ts';
import { completeOperation, type Operation, unwrap } from './operation.ts';
import { describeWebhooks } from './webhooks.ts';

const TAGS = [
  { name: 'messages', description: 'Send messages, and read, cancel, retry or reschedule them.' },
  { name: 'accounts', description: 'The state and the quota of each sending account.' },
  {
    name: 'resend',
    description:
      'The same operations in the shape of Resend’s API, for Resend’s SDKs: set their base URL to this service.',
  },
  { name: 'templates', description: 'The templates that the operator provides.' },
  { name: 'suppressions', description: 'Addresses that no mail is sent to.' },
  { name: 'keys', description: 'The API key of a request.' },
  { name: 'health', description: 'Probes for load balancers and orchestrators.' },
  { name: 'metrics', description: 'Counts and measures for a monitoring system.' },
  { name: 'docs', description: 'This document, and explanations of error codes.' },
  {
    name: 'webhooks',
    description:
      'Events that Outtray sends to your endpoints, signed as in [Standard Webhooks](https://www.standardwebhooks.com).',
  },
];

const SERVER = {
  url: 'http://{host}:{port}',
  description: 'The address that HOST and PORT configure.',
  variables: { host: { default: 'localhost' }, port: { default: '3000' } },
};

/**
 * Any one of these authenticates a request. A 401 only ever asks for Bearer: browsers would store
 * Basic credentials and send them with every request.
 */
const SECURITY_SCHEMES = {
  bearer: { type: 'http', scheme: 'bearer', description: 'A secret from API_KEYS.' },
  apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'A secret from API_KEYS.' },
  basic: {
    type: 'http',
    scheme: 'basic',
    description: 'The name of a key as the user name, its secret as the password.',
  },
} as const;

const DESCRIPTION = `Sends email through Gmail, and reports what happened to each message.

Every error is an \`application/problem+json\` document with a stable \`code\`; \`/problems/{code}\` explains
each code. Errors of /emails have the shape of Resend's errors, with the same \`code\`. So does every error
for a \`User-Agent\` that starts with \`resend-\`.

Times are ISO 8601 in UTC. Sizes are in bytes.`;

/**
 * Collects the routes that are registered after it into an OpenAPI 3.1 document. Returns the example
 * of an error in it, which exists once all routes are registered.
 */
export async function documentApi(
  app: FastifyInstance,
  version: string,
): Promise<(code: ErrorCode) => ErrorExample> {
  const routes = new Map<string | undefined, DocumentedRoute>();
  app.addHook('onRoute', ({ schema, url }) => {
    if (schema && !schema.hide) routes.set(schema.operationId, { schema, url });
  });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.1',
      info: {
        title: 'Outtray',
        version,
        description: unwrap(DESCRIPTION),
        contact: { name: 'The Outtray authors' },
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [SERVER],
      tags: TAGS,
      security: Object.keys(SECURITY_SCHEMES).map((name) => ({ [name]: [] })),
      components: { securitySchemes: SECURITY_SCHEMES },
    },
    transform: ({ schema = { hide: true }, url }) => ({ schema: toJsonSchemas(schema), url }),
    transformObject: (document) => {
      if (!('openapiObject' in document)) throw new Error('Only OpenAPI 3 is supported');
      const { paths = {}, components: _, ...rest } = document.openapiObject;
      const components = createComponents();
      const operations = Object.values(paths as Paths).flatMap((path) => Object.values(path));
      for (const operation of operations) {
        const schema = routes.get(operation.operationId)?.schema;
        if (schema) completeOperation(operation, schema, components, [...routes.values()]);
      }
      const webhooks = describeWebhooks();
      const described = [...operations, ...Object.values(webhooks).map(({ post }) => post)];
      shareParameters(
        described.map(({ parameters = [] }) => parameters),
        components,
      );
      const schemas: Record<string, object> = namedSchemas();
      schemas.Problem = { ...schemas.Problem, examples: [problemExample()] };
      schemas.ResendError = { ...schemas.ResendError, examples: [toResendError(problemExample())] };
      const { byKind } = components;
      return {
        ...rest,
        paths,
        webhooks,
        components: { securitySchemes: SECURITY_SCHEMES, ...byKind, schemas },
      } as typeof document.openapiObject;
    },
  });
  return (code) => exampleOnPage(code, [...routes.values()]);
}

type Paths = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

/** The parameters and the body of a route; {@link completeOperation} adds the responses. */
function toJsonSchemas(schema: FastifySchema): FastifySchema {
  const { body, params, querystring, headers, response: _, description, ...rest } = schema;
  return {
    ...rest,
    ...(description !== undefined && { description: unwrap(description) }),
    ...(body instanceof z.ZodType && { body: toSchema(body, 'input') }),
    ...(params instanceof z.ZodType && { params: toSchema(params, 'input') }),
    ...(querystring instanceof z.ZodType && { querystring: toSchema(querystring, 'input') }),
    ...(headers instanceof z.ZodType && { headers: toSchema(headers, 'input') }),
  };
}
