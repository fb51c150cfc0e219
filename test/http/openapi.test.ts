import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ERROR_CODES, ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import { openApiDocument } from '../../src/http/app.ts';
import type { ResendError } from '../../src/http/resend/schemas.ts';
import type { Problem } from '../../src/http/schemas/problem.ts';
import { sendRequest } from '../../src/http/schemas/send.ts';
import { startApp } from '../helpers/app.ts';

interface Media {
  readonly schema: {
    readonly allOf?: readonly {
      readonly properties?: { readonly code?: { readonly enum: readonly ErrorCode[] } };
    }[];
  };
  readonly examples?: Readonly<Record<string, { readonly value: Problem & ResendError }>>;
}

interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly security?: readonly object[];
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly example?: unknown;
    readonly examples?: unknown;
  }[];
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly schema: unknown; readonly example?: unknown }>>;
  };
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly description: string;
        readonly headers?: object;
        readonly content: Readonly<Record<string, Media>>;
      }
    >
  >;
}

const yaml = await openApiDocument('1.2.3');

function readDocument() {
  const document = parse(yaml);
  const operations = Object.entries<Record<string, Operation>>(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
  );
  return { document, operations };
}

describe('the OpenAPI document', () => {
  test('is served by GET /openapi.yaml and does not change between requests', async () => {
    await using app = await startApp();
    const answer = await app.get('/openapi.yaml', {});
    expect(answer.headers['content-type']).toBe('application/yaml');
    expect(answer.body).toBe(yaml);
    expect(answer.body).toBe(await openApiDocument('1.2.3'));
  });

  test('has every route, with a name, a tag and a summary', async () => {
    const { document, operations } = readDocument();
    expect(document.openapi).toMatch(/^3\.1\./);
    expect(document.info).toMatchObject({ title: 'Outtray', version: '1.2.3', license: { name: 'MIT' } });
    expect(operations.map(({ method, path }) => `${method} ${path}`).sort()).toEqual([
      'delete /suppressions/{email}',
      'get /accounts',
      'get /emails',
      'get /emails/{id}',
      'get /livez',
      'get /messages',
      'get /messages/{id}',
      'get /openapi.yaml',
      'get /problems/{code}',
      'get /readyz',
      'get /suppressions',
      'get /suppressions/{email}',
      'get /templates',
      'patch /emails/{id}',
      'patch /messages/{id}',
      'post /accounts/{user}/verify',
      'post /emails',
      'post /emails/batch',
      'post /emails/{id}/cancel',
      'post /messages/{id}/cancel',
      'post /messages/{id}/retry',
      'post /send',
      'post /send/batch',
      'post /templates/{id}/preview',
      'put /suppressions/{email}',
    ]);
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
    for (const { tags, summary } of operations) expect([tags.length, summary.length > 0]).toEqual([1, true]);
  });

  test('requires a key for all but the public routes', async () => {
    const { document, operations } = readDocument();
    expect(document.security).toEqual([{ bearer: [] }, { apiKey: [] }, { basic: [] }]);
    expect(document.components.securitySchemes).toMatchObject({
      bearer: { type: 'http', scheme: 'bearer' },
      apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      basic: { type: 'http', scheme: 'basic' },
    });
    const open = operations.filter(({ security }) => security?.length === 0).map(({ path }) => path);
    expect(open.sort()).toEqual(['/livez', '/openapi.yaml', '/problems/{code}', '/readyz']);
  });

  test('describes POST /send with every field and its request and response headers', async () => {
    const { document, operations } = readDocument();
    const send = operations.find(({ operationId }) => operationId === 'send');
    expect(send?.requestBody?.content['application/json']?.schema).toEqual({
      $ref: '#/components/schemas/SendRequest',
    });
    const { properties, required, additionalProperties } = document.components.schemas.SendRequest;
    expect(Object.keys(properties)).toEqual(Object.keys(sendRequest.shape));
    expect([required, additionalProperties]).toEqual([['to'], false]);
    expect(send?.parameters?.map(({ name }) => name)).toEqual(['Prefer', 'Idempotency-Key']);
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
    const { document } = await readDocument();
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

  test('has exactly the codes of the error table in the responses of each status', async () => {
    const { document, operations } = readDocument();
    const told = new Set<string>();
    for (const { responses, tags } of operations) {
      if (tags[0] === 'resend') continue;
      for (const [status, { description, content }] of Object.entries(responses)) {
        if (Number(status) < 400) continue;
        expect(Object.keys(content)).toEqual(['application/problem+json']);
        for (const [, code = ''] of description.matchAll(/`(\w+)`:/g)) {
          told.add(code);
          expect(String(ERRORS[code as keyof typeof ERRORS].status)).toBe(status);
        }
      }
    }
    // These belong to no route (405, 431), or occur only while a message is retried.
    const untold = ERROR_CODES.filter((code) => !told.has(code) && ERRORS[code].scope === 'request');
    expect(untold.sort()).toEqual(['headers_too_large', 'method_not_allowed']);
    expect(document.components.schemas.ErrorCode.enum).toEqual(ERROR_CODES);
  });

  test('has an example of each error, generated from its row of the table', async () => {
    const { document, operations } = readDocument();
    for (const { path, responses } of operations) {
      for (const [status, { content }] of Object.entries(responses)) {
        if (Number(status) < 400) continue;
        const [[type, media] = []] = Object.entries(content);
        const codes = media?.schema.allOf?.flatMap(({ properties }) => properties?.code?.enum ?? []);
        expect(Object.keys(media?.examples ?? {})).toEqual(codes);
        for (const [code, { value }] of Object.entries(media?.examples ?? {})) {
          const { title, hint, retryable } = ERRORS[code as ErrorCode];
          expect(value).toMatchObject({
            code,
            hint,
            retryable,
            request_id: expect.stringMatching(/^req_/),
            errors: expect.any(Array),
          });
          expect(value.errors.length > 0).toBe(code === 'validation_failed');
          if (type === 'application/json') expect(String(value.statusCode)).toBe(status);
          else {
            expect(value).toMatchObject({ type: `/problems/${code}`, title, status: Number(status) });
            expect(value.instance).toMatch(new RegExp(`^${path.replace(/\{\w+\}/g, '[^/{]+')}$`));
          }
        }
      }
    }
    const [problem] = document.components.schemas.Problem.examples;
    expect(ERRORS[problem.code as ErrorCode]).toMatchObject({
      title: problem.title,
      status: problem.status,
      hint: problem.hint,
    });
  });

  test('allows additional fields in responses', async () => {
    const { document } = readDocument();
    expect(document.components.schemas.Message).not.toHaveProperty('additionalProperties');
  });

  test('is plain YAML, without aliases', () => {
    expect(yaml).not.toMatch(/: [&*]\w+/);
  });
});
