import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { describe, expect, test } from 'vitest';
import { ERROR_CODES, ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import { openApiDocument } from '../../src/http/app.ts';
import type { ResendError } from '../../src/http/resend/schemas.ts';
import type { Problem } from '../../src/http/schemas/problem.ts';
import { sendRequest } from '../../src/http/schemas/send.ts';
import { startApp } from '../helpers/app.ts';
import { type DocumentedResponse, readDocument } from '../helpers/openapi-document.ts';

const yaml = await openApiDocument('1.2.3');
const { document, operations, webhooks } = readDocument(yaml);

/** The error responses of every operation, each with its operation. */
const errors = operations.flatMap((operation) =>
  Object.entries(operation.responses)
    .filter(([status]) => Number(status) >= 400)
    .map(([status, response]) => ({ operation, status: Number(status), response, codes: codesOf(response) })),
);

function codesOf({ content = {} }: DocumentedResponse): ErrorCode[] {
  return Object.values(content).flatMap(
    ({ schema }) => schema.allOf?.flatMap(({ properties }) => properties?.code?.enum ?? []) ?? [],
  );
}

describe('the OpenAPI document', () => {
  test('is served by GET /openapi.yaml and does not change between requests', async () => {
    await using app = await startApp();
    const response = await app.get('/openapi.yaml', {});
    expect(response.headers['content-type']).toBe('application/yaml');
    expect(response.body).toBe(yaml);
    expect(response.body).toBe(await openApiDocument('1.2.3'));
  });

  test('has every route, each with a name, a documented tag, a summary and a description', async () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    expect(document.info).toMatchObject({ title: 'Outtray', version: '1.2.3', license: { name: 'MIT' } });
    expect(operations.map(({ method, path }) => `${method.toLowerCase()} ${path}`).sort()).toEqual([
      'delete /suppressions/{email}',
      'get /accounts',
      'get /doctor',
      'get /emails',
      'get /emails/{id}',
      'get /key',
      'get /livez',
      'get /messages',
      'get /messages/{id}',
      'get /messages/{id}/content',
      'get /messages/{id}/content/view',
      'get /metrics',
      'get /openapi.yaml',
      'get /problems',
      'get /problems/{code}',
      'get /readyz',
      'get /stats',
      'get /suppressions',
      'get /suppressions/{email}',
      'get /templates',
      'get /templates/{id}/preview/view',
      'get /webhooks/deliveries',
      'patch /emails/{id}',
      'patch /messages/{id}',
      'post /accounts/{user}/verify',
      'post /emails',
      'post /emails/batch',
      'post /emails/{id}/cancel',
      'post /messages/{id}/cancel',
      'post /messages/{id}/content/ticket',
      'post /messages/{id}/reconcile',
      'post /messages/{id}/retry',
      'post /send',
      'post /send/batch',
      'post /templates/{id}/preview',
      'post /webhooks/deliveries/{id}/replay',
      'post /webhooks/test',
      'put /suppressions/{email}',
    ]);
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
    const known = document.tags.map(({ name }: { name: string }) => name);
    for (const { tags, summary, description } of [...operations, ...webhooks]) {
      expect([tags.length, summary.length > 0, description === undefined]).toEqual([1, true, false]);
      expect(known).toContain(tags[0]);
    }
  });

  test('requires a key for all but the public routes', async () => {
    expect(document.security).toEqual([{ bearer: [] }, { apiKey: [] }, { basic: [] }]);
    expect(document.components.securitySchemes).toMatchObject({
      bearer: { type: 'http', scheme: 'bearer' },
      apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      basic: { type: 'http', scheme: 'basic' },
    });
    const open = operations.filter(({ security }) => security?.length === 0).map(({ path }) => path);
    expect(open.sort()).toEqual([
      '/livez',
      '/messages/{id}/content/view',
      '/openapi.yaml',
      '/problems',
      '/problems/{code}',
      '/readyz',
      '/templates/{id}/preview/view',
    ]);
  });

  test('describes POST /send: every field, and the headers of requests and responses', async () => {
    const send = operations.find(({ operationId }) => operationId === 'send');
    expect(send?.requestBody?.content['application/json']?.schema).toEqual({
      $ref: '#/components/schemas/SendRequest',
    });
    const { properties, required, additionalProperties } = document.components.schemas.SendRequest;
    expect(Object.keys(properties)).toEqual(Object.keys(sendRequest.shape));
    expect([required, additionalProperties]).toEqual([['to'], false]);
    expect(send?.parameters?.map(({ name }) => name)).toEqual([
      'Prefer',
      'Idempotency-Key',
      'traceparent',
      'tracestate',
    ]);
    expect(Object.keys(send?.responses['202']?.headers ?? {})).toEqual([
      'Location',
      'Preference-Applied',
      'Idempotency-Replayed',
      'RateLimit-Policy',
      'RateLimit',
    ]);
    expect(Object.keys(send?.responses['503']?.headers ?? {})).toContain('Retry-After');
  });

  test.each([
    [
      'null and empty strings for optional fields',
      { cc: null, reply_to: '', html: null, text: '', attachments: null, expires_at: '' },
    ],
    [
      'null within fields',
      { unsubscribe: { url: null, email: 'a@b.co', one_click: '' }, template: { id: 'x', variables: null } },
    ],
    ['an empty list in place of an object', { headers: [], tags: [], metadata: [] }],
    ['numbers and booleans in tags', { tags: { a: 1, b: true, c: 'x' }, scheduled_at: null }],
    ['a References header', { references: '<a@b> <c@d>' }],
  ])('allows a request with %s', async (_, patch) => {
    const ajv = new Ajv2020({ strict: false });
    addFormats.default(ajv);
    const isValid = ajv.compile({
      ...document.components.schemas.SendRequest,
      components: document.components,
    });
    expect([isValid({ to: 'ada@example.com', ...patch }), isValid.errors]).toEqual([true, null]);
    for (const wrong of [{ to: null }, { scheduled_at: '' }, { headers: ['x'] }, { tags: { a: null } }]) {
      expect(isValid({ to: 'ada@example.com', ...wrong })).toBe(false);
    }
  });

  test('lists each error code under its status, in the description and in the schema', () => {
    const described = new Set<string>();
    for (const { operation, status, response, codes } of errors) {
      if (operation.tags[0] === 'resend') continue;
      expect(Object.keys(response.content ?? {})).toEqual(['application/problem+json']);
      const inDescription = [...response.description.matchAll(/`(\w+)`:/g)].map(([, code = '']) => code);
      expect(inDescription).toEqual(codes);
      for (const code of codes) {
        described.add(code);
        expect(ERRORS[code].status).toBe(status);
      }
    }
    // Errors of no route (405, 431), and errors that only delay a message.
    const missing = ERROR_CODES.filter((code) => !described.has(code) && ERRORS[code].scope === 'request');
    expect(missing.sort()).toEqual(['headers_too_large', 'method_not_allowed']);
    expect(document.components.schemas.ErrorCode.enum).toEqual(ERROR_CODES);
  });

  test('has an example of each problem that is made from its row of the table', () => {
    for (const { operation, status, response, codes } of errors) {
      if (operation.tags[0] === 'resend') continue;
      const { examples = {} } = response.content?.['application/problem+json'] ?? {};
      expect(Object.keys(examples)).toEqual(codes);
      for (const [code, { value }] of Object.entries(examples)) {
        const problem = value as Problem;
        const { title, hint, retryable } = ERRORS[code as ErrorCode];
        expect(problem).toMatchObject({
          type: `/problems/${code}`,
          title,
          status,
          code,
          hint,
          retryable,
          request_id: expect.stringMatching(/^req_/),
          errors: expect.any(Array),
        });
        expect(problem.errors.length > 0).toBe(code === 'validation_failed');
        // Operations share the example of a code, so it is of one of those that list the code.
        const paths = errors
          .filter((error) => error.codes.includes(problem.code))
          .map((error) => error.operation.path);
        const matching = paths.filter((path) =>
          new RegExp(`^${path.replace(/\{\w+\}/g, '[^/{]+')}$`).test(problem.instance),
        );
        expect(matching).not.toEqual([]);
      }
    }
    const [problem] = document.components.schemas.Problem.examples;
    expect(ERRORS[problem.code as ErrorCode]).toMatchObject({
      title: problem.title,
      status: problem.status,
      hint: problem.hint,
    });
  });

  test('lists the Resend name of each error code, and has an example of the shape', () => {
    for (const { operation, response, codes } of errors) {
      if (operation.tags[0] !== 'resend') continue;
      expect(Object.keys(response.content ?? {})).toEqual(['application/json']);
      const listed = [...response.description.matchAll(/`(\w+)`, `(\w+)`: (.*)\./g)];
      expect(listed.map(([, , code]) => code)).toEqual(codes);
      for (const [, name = '', code, title] of listed) {
        expect(document.components.schemas.ResendError.properties.name.enum).toContain(name);
        expect(title).toBe(ERRORS[code as ErrorCode].title);
      }
    }
    const [example]: [ResendError] = document.components.schemas.ResendError.examples;
    const { status, hint, retryable } = ERRORS[example.code];
    expect(example).toMatchObject({ statusCode: status, name: 'validation_error', hint, retryable });
  });

  test('allows unknown fields in responses', async () => {
    expect(document.components.schemas.Message).not.toHaveProperty('additionalProperties');
  });

  test('is plain YAML, without aliases', () => {
    expect(yaml).not.toMatch(/[:[{,-] [&*]\w+/);
  });

  test('repeats no error response and no header: operations refer to components', () => {
    const references = Object.values<object>(document.paths)
      .flatMap((methods) => Object.values(methods))
      .flatMap(({ responses }) => Object.entries<object>(responses))
      .filter(([status]) => Number(status) >= 400);
    expect(references.length).toBeGreaterThan(200);
    for (const [, response] of references) expect(Object.keys(response)).toEqual(['$ref']);
    const bodies = Object.values<object>(document.components.responses).map((response) =>
      JSON.stringify(response),
    );
    expect(new Set(bodies).size).toBe(bodies.length);
    expect(yaml.length).toBeLessThan(200_000);
  });
});
